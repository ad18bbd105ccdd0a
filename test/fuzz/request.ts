// One request as it will be written, byte for byte, and what is known of it.

import type { Route } from './routes.ts'

export type Shot = {
  readonly route: Route
  method: string
  path: string
  /** As it stands after the `?`; undefined without one. Latin-1: one character a byte. */
  query: string | undefined
  headers: [name: string, value: string][]
  body: Buffer | undefined
  /** How the body is sent. */
  framing: 'length' | 'chunked'
  /** Written in place of all that: no answer is owed to it. */
  raw?: Buffer
}

export const copyOf = (shot: Shot): Shot => ({ ...shot, headers: shot.headers.map(([name, value]) => [name, value]) })

const chunked = (body: Buffer): Buffer => {
  const half = body.length >> 1
  const parts = [body.subarray(0, half), body.subarray(half)].filter((part) => part.length > 0)
  const written = parts.flatMap((part) => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')])
  return Buffer.concat([...written, Buffer.from('0\r\n\r\n')])
}

export function bytesOf(shot: Shot): Buffer {
  if (shot.raw) return shot.raw
  const { method, path, query, headers, body, framing } = shot
  const target = query === undefined ? path : `${path}?${query}`
  const framed =
    body === undefined ? [] : framing === 'chunked' ? ['transfer-encoding: chunked'] : [`content-length: ${body.length}`]
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'host: collector.example',
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...framed,
  ]
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  if (body === undefined) return head
  return Buffer.concat([head, framing === 'chunked' ? chunked(body) : body])
}
