// A bar with rate and time left on a terminal; nothing in a pipe.

import { SingleBar } from 'cli-progress'

export type Progress = { add(n: number): void; done(): void }

const SILENT: Progress = { add() {}, done() {} }

export function startProgress(label: string, total: number, unit: string): Progress {
  if (!process.stderr.isTTY || total === 0) return SILENT
  const bar = new SingleBar({
    stream: process.stderr,
    format: `${label} {bar} {percentage}% | {value}/{total} ${unit} | {rate} ${unit}/s | {eta_formatted} left`,
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: 50,
  })
  const startedMs = Date.now()
  let value = 0
  bar.start(total, 0, { rate: 0 })
  return {
    add(n) {
      value += n
      bar.update(Math.min(value, total), {
        rate: Math.round((value / Math.max(1, Date.now() - startedMs)) * 1000).toLocaleString('en-US'),
      })
    },
    done: () => bar.stop(),
  }
}

/** Of work that knows which share of it is done. */
export function shareProgress(label: string): { readonly share: (done: number) => void; readonly done: () => void } {
  const progress = startProgress(label, 100, '%')
  let shown = 0
  return {
    share(done) {
      progress.add(done * 100 - shown)
      shown = done * 100
    },
    done: progress.done,
  }
}
