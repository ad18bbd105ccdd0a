// Short strings that name millions of vendors: each of their ranges reaches to the last id. A reader that walks the ids of a range stands still for
// half a second over one of them.

import { disclosedSegment, type Range, writeTc } from './tc-writer.ts'

const LAST_VENDOR = 65_535
const wide = (count: number): Range[] => Array.from({ length: count }, (_, index) => [index + 1, LAST_VENDOR])
const segments = [disclosedSegment({ field: [1, 3] })]

/** 20 restriction ranges in 162 characters. */
export const D1 =
  'CQlH_MAQlH_MAEsABBENCWFgAIAAAAAAAAYgAAoAAAAQkBSAAP__wAC__-AAf__wAE__-AAv__wAG__-AA___wAI__-ABP__wAK__-ABf__wAM__-ABv__wAO__-AB___wAQ__-ACP__wAS__-ACf__wAU__8.IAAo'
/** 1,152 characters. */
export const WIDE_RESTRICTIONS = writeTc({
  purposes: [1],
  vendors: { field: [1, 3] },
  restrictions: [{ purpose: 2, type: 0, ranges: wide(200) }],
  segments,
})
/** 2,251 characters. */
export const WIDE_VENDORS = writeTc({ purposes: [1], vendors: { ranges: wide(400) }, segments })
