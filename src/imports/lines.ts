// The lines of a file of any size in bounded memory.

import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { MadeleineError, messageOf } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** Numbered from 1, without the line end. `text` is undefined where the line is longer than the limit. */
export type Line = { readonly number: number; readonly text: string | undefined }

/** The file's bytes, unpacked if its name ends in .gz; `onBytes` hears of each piece as it lies in the file. */
export async function* readBytes(file: string, onBytes: (bytes: number) => void = () => {}): AsyncGenerator<Buffer> {
  const raw = createReadStream(file, { highWaterMark: 1 << 20 })
  raw.on('data', (chunk) => onBytes(chunk.length))
  const stream = file.endsWith('.gz') ? raw.pipe(createGunzip({ chunkSize: 1 << 20 })) : raw
  raw.on('error', (error) => stream.destroy(error))
  try {
    yield* stream as AsyncIterable<Buffer>
  } catch (error) {
    throw new MadeleineError('usage', `${file} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

const NEWLINE = 0x0a
const decode = (bytes: Buffer): string => {
  const text = bytes.toString('utf8') // ill-formed bytes become U+FFFD
  return text.endsWith('\r') ? text.slice(0, -1) : text
}

/** Lines as they arrive, many at a time. */
export async function* readLines(
  bytes: AsyncIterable<Buffer>,
  lineBytesMax: number = LIMITS.importLineBytes,
): AsyncGenerator<Line[]> {
  let number = 0
  let rest: Buffer[] = []
  let restBytes = 0
  const finish = (last: Buffer): Line => {
    number++
    const length = restBytes + last.length
    const text = length > lineBytesMax ? undefined : decode(rest.length === 0 ? last : Buffer.concat([...rest, last]))
    rest = []
    restBytes = 0
    return { number, text }
  }
  for await (const chunk of bytes) {
    const lines: Line[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      lines.push(finish(chunk.subarray(start, end)))
      start = end + 1
    }
    restBytes += chunk.length - start
    if (restBytes <= lineBytesMax) rest.push(Buffer.from(chunk.subarray(start)))
    else rest = [] // too long already: only its length is kept
    yield lines
  }
  if (restBytes > 0) yield [finish(Buffer.alloc(0))]
}
