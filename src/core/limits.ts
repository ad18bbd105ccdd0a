// Every limit on what comes from outside, in one place, each with its reason.

export const LIMITS = {
  /** Contract 3: events in one POST, bytes of its body. */
  requestEvents: 100,
  requestBytes: 256 * 1024,
  /** Parameters of one event (the contract's and 100 attributes), and characters of a body with its defaults given to each event. */
  eventKeys: 256,
  expandedChars: 2 * 1024 * 1024,
  /** Longest single text of an event in UTF-16 units: longer ones are data smuggling, not behaviour; browsers cut URLs near 2,000 to 8,000. */
  urlChars: 8_192,
  textChars: 1_024,
  /** The cookie of partners' ids, in characters: browsers drop a cookie whose name and value take more than 4,096 bytes. */
  uidsCookieChars: 4_000,
  /** Bidders that one `/cookie_sync` may name: Prebid knows some 700. */
  syncBidders: 1_000,
  /** Elements of `category` or `keyword`, and attributes of one event. */
  listElements: 100,
  attributes: 100,
  /** One spool file: small enough for one insert block (embedded-mode inserts are built as one string), large enough that parts stay few. */
  spoolFileBytes: 4 * 1024 * 1024,
  spoolFileEvents: 20_000,
  /** How long an event waits in an open spool file before it is shipped: the floor of "fresh within seconds", and 60 parts a minute at most. */
  spoolFileAgeMs: 1_000,
  /** What waits for the disk to be acknowledged: some seconds of 10,000 events a second; a disk that stalls longer must not fill the memory. */
  spoolHeldBytes: 32 * 1024 * 1024,
  /** Lines and characters of one import block (an insert is built as one string), and bytes of one import line. Files that were imported before are known by their blocks: other limits, other blocks. */
  importBlockRows: 100_000,
  importBlockBytes: 32 * 1024 * 1024,
  importLineBytes: 256 * 1024,
  /** Rows whose partners' ids are looked up together, and lines over which one CSV record may go: a quote that nobody closes is noticed there. */
  importGroupRows: 20_000,
  csvRecordLines: 100,
  /** Lists of one file: each is a partition of its own. */
  importLists: 1_000,
  /** Rejects listed in an import's answer; all are counted. */
  rejectsListed: 1_000,
  /** Rows fetched at once when a file for a partner is written: the embedded engine gathers a result whole. */
  pageRows: 100_000,
  /** User agents whose parsed form is kept: 52 microseconds to parse one, 558 distinct in 10,000 lines of a real log. */
  userAgentsCached: 5_000,
  /** `Accept-Language` headers whose parsed form is kept: there are few. */
  languagesCached: 1_000,
  /** Pages whose parsed form is kept, and the longest address worth keeping: some 5 MB at the most. */
  pagesCached: 10_000,
  pageCachedChars: 256,
  /** Networks, and visitors, whose rate is followed: some 20 MB at the most. One that is pushed out begins anew, so a limit only ever lets more through. */
  rateBuckets: 100_000,
  /** Orders remembered, so that a conversion counts once: 11,000 a day for 90 days, 45 MB (measured). The oldest are forgotten first, and would count again. */
  ordersKnown: 1_000_000,
  /** Of left spool files read for their orders before anybody is answered: a second or two. Requests that wait for what becomes of an order that another has in hand. */
  ordersReadBytes: 256 * 1024 * 1024,
  ordersWaiting: 1_000,
  /** `ts` may lie this far ahead of our clock (contract 3). */
  futureMs: 5 * 60_000,
} as const
