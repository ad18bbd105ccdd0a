// CPU time of running processes, from /proc (Linux).

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const TICK_US = 1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** A process that ends between two reads has no files any more: it counts for nothing. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** The process and everything below it that still runs. */
export function familyOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean)
  return [pid, ...children.flatMap((child) => familyOf(Number(child)))]
}

/** User and system time since each process began; of a process that is gone, 0. */
export function cpuUs(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const fields = read(`/proc/${pid}/stat`).split(') ')[1]?.split(' ') // the name before it may hold spaces
    return fields ? Number(fields[11]) + Number(fields[12]) : 0
  })
  return TICK_US * ticks.reduce((sum, n) => sum + n, 0)
}

/** The embedded engine of a data directory: a process of its own, in a session of its own. */
export function enginePid(data: string): number {
  const pid = readdirSync('/proc').find((name) => {
    const args = /^\d+$/.test(name) ? read(`/proc/${name}/cmdline`).split('\0') : []
    return args[1]?.endsWith('engine-process.js') && args[2] === data
  })
  if (pid === undefined) throw new Error(`no engine runs on ${data}`)
  return Number(pid)
}

/** Resident memory of a process at its highest, as the kernel keeps it; 0 of one that is gone. */
export const peakBytes = (pid: number): number => 1_024 * Number(/VmHWM:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0)
