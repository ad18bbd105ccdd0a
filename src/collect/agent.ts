// What a browser says of itself, reduced to families: nothing finer than `Firefox`, `Android`, `mobile` is kept.

import Bowser from 'bowser'
import { isbot } from 'isbot'
import { LRUCache } from 'lru-cache'
import { LIMITS } from '../core/limits.ts'
import type { DEVICES } from '../event/event.ts'

export type Agent = {
  /** Declares itself a robot, or says nothing: isbot takes an empty agent for a person. */
  readonly bot: boolean
  readonly device: (typeof DEVICES)[number]
  readonly browser: string
  readonly os: string
}

const SILENT: Agent = { bot: true, device: 'other', browser: '', os: '' }
const PLATFORMS: Readonly<Record<string, Agent['device']>> = { desktop: 'desktop', mobile: 'mobile', tablet: 'tablet', tv: 'tv' }
/** Systems of which bowser does not name the platform, and which are desktop computers. */
const DESKTOP_SYSTEMS: ReadonlySet<string> = new Set(['Windows', 'macOS', 'Linux', 'Chrome OS', 'FreeBSD', 'Ubuntu'])

const parsed = new LRUCache<string, Agent>({ max: LIMITS.userAgentsCached })

function parse(userAgent: string): Agent {
  if (userAgent.trim() === '') return SILENT
  const { browser, os, platform } = Bowser.parse(userAgent)
  const device = PLATFORMS[platform.type ?? ''] ?? (DESKTOP_SYSTEMS.has(os.name ?? '') ? 'desktop' : 'other')
  return { bot: isbot(userAgent), device, browser: browser.name ?? '', os: os.name ?? '' }
}

export function readAgent(userAgent: string | undefined): Agent {
  const key = userAgent ?? ''
  const known = parsed.get(key)
  if (known) return known
  const agent = parse(key)
  parsed.set(key, agent)
  return agent
}

/** The first language of Accept-Language as its primary subtag, in lower case; '' where there is none. */
export function readLanguage(header: string | undefined): string {
  if (header === undefined) return ''
  const known = languages.get(header)
  if (known !== undefined) return known
  const language = parseLanguage(header)
  languages.set(header, language)
  return language
}

const languages = new LRUCache<string, string>({ max: LIMITS.languagesCached })

function parseLanguage(header: string): string {
  return /^\s*([A-Za-z]{2,3})(?=[-,;\s]|$)/.exec(header)?.[1]?.toLowerCase() ?? ''
}
