// What the consent platforms (CMPs) of the page say: IAB's TCF, GPP and US Privacy, asked in the tag's own window. Their strings are passed on as they are;
// the collector decides by them. The tag itself reads only whether it may keep its fallback id, and where it cannot tell, it may not.

import { attempt, guarded } from './guard.ts'
import { LOOK_MS, WAIT_MS } from './limits.ts'
import { NO_SIGNAL, SOURCES, VENDOR } from './policy.ts'

type Ids = Record<string, unknown>
/** Under the names of the fields that carry it. */
type Said = Record<string, string | undefined>
/** As far as it is used; a field may be missing all the same. */
type TcData = {
  gdprApplies?: boolean
  cmpStatus: string
  eventStatus: string
  tcString: string
  purpose: { consents: Ids }
  vendor: { consents: Ids; disclosedVendors?: Ids }
  publisher: { consents: Ids; restrictions?: Record<string, Ids> }
}
type GppPing = { signalStatus: string; gppString: string; applicableSections: number[] }
export type Consent = {
  isWaiting: boolean
  said: Said
  /** Undefined: nobody has permitted or refused it. */
  mayStore: boolean | undefined
}

/** Purpose 1, by the publisher's own part or for the operator's vendor id, as the collector decides it: a restriction 0 or 2 forbids it, 1 does not matter. */
function isStoragePermitted({ purpose, vendor, publisher }: TcData, source: string): boolean {
  if (!purpose.consents[1]) return false
  if (SOURCES.split(',').includes(source)) return !!publisher.consents[1]
  const { consents, disclosedVendors = consents } = vendor
  const { [VENDOR]: restriction = 1 } = Object(Object(publisher.restrictions)[1])
  return !!consents[VENDOR] && !!disclosedVendors[VENDOR] && restriction === 1
}

/** `changed` is called when a platform has answered, or has changed its answer, or may have appeared. */
export function consentOf(script: HTMLScriptElement, source: string, changed: () => void): () => Consent {
  const wait_ms = script.getAttribute('data-consent-wait') || WAIT_MS
  const said: Said = {}
  /** Of the platforms seen so far. */
  const hasAnswered: Record<string, boolean> = {}
  let tcfMayStore = true
  let isAsking = false
  let lookout = 0

  function hear(name: string, says: Said): void {
    hasAnswered[name] = true
    Object.assign(said, says)
    // While asking, the next platform may not have been seen yet.
    if (!isAsking) changed()
  }

  const hearTcf = guarded((data: TcData, isOk: unknown) => {
    const isFree = data.gdprApplies === false
    if (!isOk || !(isFree || /^loaded (tcloaded|useractioncomplete)$/.test(`${data.cmpStatus} ${data.eventStatus}`))) return
    tcfMayStore = isFree || !!attempt(() => isStoragePermitted(data, source))
    hear('__tcfapi', isFree ? { gdpr: '0', gdpr_consent: undefined } : { gdpr: '1', gdpr_consent: data.tcString })
  })

  const hearGpp = guarded((data: GppPing & { pingData?: GppPing }, isOk: unknown) => {
    const { signalStatus, gppString, applicableSections } = data.pingData || data
    if (isOk !== false && signalStatus === 'ready') hear('__gpp', { gpp: gppString, gpp_sid: applicableSections.join() })
  })

  /** US Privacy has no listener, so it is asked again before every event. */
  const hearUsp = guarded(({ uspString }: { uspString: string }, isOk: unknown) => {
    if (isOk !== false && said['us_privacy'] !== uspString) hear('__uspapi', { us_privacy: uspString })
  })

  /** A platform that throws stays silent. */
  const ask = guarded((name: string, ...calls: unknown[][]) => {
    const api = (window as unknown as Record<string, ((...call: unknown[]) => void) | undefined>)[name]
    if (!api || (name in hasAnswered && name !== '__uspapi')) return
    hasAnswered[name] = !!hasAnswered[name]
    for (const call of calls) api(...call)
  })

  /** GPP's section 2 is the TCF. Opt-outs of the others are written in a string that the tag does not read. */
  function mayStore(): boolean {
    const { gdpr, gpp_sid = '', us_privacy = '1---' } = said
    return tcfMayStore && (/^(-1)?$/.test(gpp_sid) || gpp_sid + gdpr === '21') && /^1.[N-].$/.test(us_privacy)
  }

  return () => {
    isAsking = true
    ask('__tcfapi', ['addEventListener', 2, hearTcf])
    ask('__gpp', ['addEventListener', hearGpp], ['ping', hearGpp])
    ask('__uspapi', ['getUSPData', 1, hearUsp])
    isAsking = false
    const all = Object.values(hasAnswered)
    const isMissing = all.length ? !all.every(Boolean) : script.getAttribute('data-cmp') === 'required'
    if (isMissing && !lookout) {
      lookout = window.setInterval(changed, LOOK_MS)
      setTimeout(clearInterval, +wait_ms, lookout)
    }
    return {
      isWaiting: isMissing && wait_ms !== '0',
      // Where the page does not wait, what is missing counts as a refusal: GDPR without a consent string.
      said: isMissing ? { ...said, gdpr: '1' } : said,
      mayStore: isMissing ? undefined : all.length ? mayStore() : NO_SIGNAL === 'allow' || undefined,
    }
  }
}
