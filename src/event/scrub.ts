// Personal data that senders put where behaviour belongs is replaced by `-` before anything is written (contract 3).

const MARK = '-'
const DIGITS = /\d{7}/
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i
/** A run of token characters, at least 32 long, with a digit in it: session ids, hashes, signed links. */
const TOKEN = /[A-Za-z0-9_-]{32,}/g
/** The local part is bounded (RFC 5321 4.5.3.1.1: 64 octets), so that a long text without a match is not searched from each of its characters. */
const EMAIL = /[^\s@<>()[\]",;:]{1,64}(?:@|%(?:25)*40)[^\s@<>()[\]",;:]{1,255}/gi

function decoded(segment: string): string {
  let text = segment
  // Twice: links that pass through a redirector come encoded twice.
  for (let i = 0; i < 2 && text.includes('%'); i++) {
    try {
      text = decodeURIComponent(text)
    } catch {
      text = text.replace(/%(?:25)*40/g, '@').replace(/%(?:25)*3([0-9])/g, '$1')
      break
    }
  }
  return text
}

function isPersonal(segment: string): boolean {
  const text = decoded(segment)
  if (text.includes('@') || DIGITS.test(text)) return true
  if (text.length < 32) return false
  return UUID.test(text) || (text.match(TOKEN) ?? []).some((run) => /\d/.test(run))
}

/** A path with each personal segment replaced. */
export function scrubPath(path: string): string {
  // Most paths need no work: nothing shorter than these signs can be personal.
  if (!/[@%]|\d{7}|[A-Za-z0-9_-]{32}/.test(path)) return path
  return path
    .split('/')
    .map((segment) => (segment !== '' && isPersonal(segment) ? MARK : segment))
    .join('/')
}

/** A text with each e-mail address replaced. */
export function scrubText(text: string): string {
  return text.includes('@') || /%(?:25)*40/.test(text) ? text.replace(EMAIL, MARK) : text
}
