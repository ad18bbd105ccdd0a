// A browser as far as the collector can tell: a cookie jar, and the headers of someone who does or does not allow third-party cookies.

import { BROWSER_AGENT, type Serving } from './serve.ts'

export type Jar = {
  readonly cookies: Map<string, string>
  /** The names that the last answer set, and those it removed. */
  readonly set: string[]
  readonly removed: string[]
  hit(parameters: Readonly<Record<string, string>>, headers?: Readonly<Record<string, string>>): Promise<Response>
  /** A redirect to another host is not followed. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Response>
  post(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>
}

export type JarOptions = {
  /** `Sec-Fetch-Storage-Access`; undefined: a browser that does not send it. */
  readonly storageAccess?: 'active' | 'none' | undefined
  readonly agent?: string
  /** What it takes of the cookies that it is sent. */
  readonly keeps?: (name: string, line: string) => boolean
}

export function openJar({ origin }: Pick<Serving, 'origin'>, options: JarOptions = { storageAccess: 'active' }): Jar {
  const { storageAccess, agent = BROWSER_AGENT, keeps = () => true } = options
  const jar: Jar = {
    cookies: new Map(),
    set: [],
    removed: [],
    hit: (parameters, headers = {}) => send(`/p.gif?${new URLSearchParams(parameters)}`, { headers }),
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, body, headers = {}) =>
      send(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers }),
  }
  async function send(path: string, init: RequestInit & { headers: Readonly<Record<string, string>> }): Promise<Response> {
    const response = await fetch(origin + path, {
      ...init,
      redirect: 'manual',
      headers: {
        'user-agent': agent,
        ...(storageAccess === undefined ? {} : { 'sec-fetch-storage-access': storageAccess }),
        ...(jar.cookies.size > 0 ? { cookie: [...jar.cookies].map(([name, value]) => `${name}=${value}`).join('; ') } : {}),
        ...init.headers,
      },
    })
    await response.clone().arrayBuffer()
    jar.set.length = 0
    jar.removed.length = 0
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (/Max-Age=0(;|$)/.test(line)) {
        jar.removed.push(name)
        jar.cookies.delete(name)
      } else {
        jar.set.push(name)
        if (keeps(name, line)) jar.cookies.set(name, value)
      }
    }
    const location = response.headers.get('location') ?? ''
    if (response.status !== 302 || URL.canParse(location)) return response
    return send(new URL(location, origin + path).href.slice(origin.length), init)
  }
  return jar
}

/** The id in a cookie. */
export const idIn = (jar: Jar, name = '__Host-mid'): string | undefined => jar.cookies.get(name)?.slice(0, 36)
