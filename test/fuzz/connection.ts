// A connection on which requests are written as bytes, so that nothing between us and the server mends them, and answers are read until their end.

import { connect, type Socket } from 'node:net'

export type Answer = {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly bodyBytes: number
}

type Parsed = { readonly answer: Answer; readonly end: number } | 'more' | 'until_close'

/** The end of a chunked body, or undefined where it has not come yet. */
function chunksEnd(bytes: Buffer, start: number): number | undefined {
  for (let at = start; ; ) {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16)
    at = line + 2 + size + 2
    if (at > bytes.length) return undefined
    if (size === 0) return at
  }
}

function parseAnswer(bytes: Buffer, isHead: boolean): Parsed {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return 'more'
  const [first = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n')
  const status = Number(first.split(' ')[1])
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const start = headEnd + 4
  const done = (end: number): Parsed => ({ answer: { status, headers, bodyBytes: end - start }, end })
  if (isHead || status === 204 || status === 304 || status < 200) return done(start)
  const length = headers.get('content-length')
  if (length !== undefined) return start + Number(length) <= bytes.length ? done(start + Number(length)) : 'more'
  if (headers.get('transfer-encoding') !== 'chunked') return 'until_close'
  const end = chunksEnd(bytes, start)
  return end === undefined ? 'more' : done(end)
}

export class Connection {
  readonly #port: number
  #socket: Socket | undefined
  /** What was sent before, and answered: a request that gets no answer may not be the one that is to blame. */
  last = ''

  constructor(port: number) {
    this.#port = port
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  /** The answer; undefined where the server closed without one. `isLast`: nothing more is coming after these bytes. */
  send(
    bytes: Buffer,
    { isHead, isLast, patienceMs }: { isHead: boolean; isLast: boolean; patienceMs: number },
  ): Promise<Answer | undefined | 'late'> {
    // An error between two requests shows in the next one.
    this.#socket ??= connect({ port: this.#port, host: '127.0.0.1', noDelay: true }).on('error', () => {})
    const socket = this.#socket
    return new Promise((resolve) => {
      let got: Buffer = Buffer.alloc(0)
      const timer = setTimeout(() => finish('late', true), patienceMs)
      const finish = (answer: Answer | undefined | 'late', isOver: boolean) => {
        clearTimeout(timer)
        socket.off('data', onData).off('close', onEnd).off('end', onEnd).off('error', onEnd)
        if (isOver || isLast) this.close()
        resolve(answer)
      }
      const onData = (data: Buffer) => {
        got = got.length === 0 ? data : Buffer.concat([got, data])
        let parsed = parseAnswer(got, isHead)
        while (typeof parsed === 'object' && parsed.answer.status < 200) {
          got = got.subarray(parsed.end)
          parsed = parseAnswer(got, isHead)
        }
        if (typeof parsed !== 'object') return
        const { answer, end } = parsed
        finish(answer, answer.headers.get('connection') === 'close' || end < got.length)
      }
      const onEnd = () => {
        const head = got.toString('latin1', 0, 200)
        const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
        finish(status === undefined ? undefined : { status: Number(status), headers: new Map(), bodyBytes: got.length }, true)
      }
      socket.on('data', onData).on('close', onEnd).on('end', onEnd).on('error', onEnd)
      if (isLast) socket.end(bytes)
      else socket.write(bytes)
    })
  }
}
