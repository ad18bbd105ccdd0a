// TC strings of 2026-06-01 as vendor 123 reads them. Public values of an encoder of ours and two decoders that agree.

/** Everything; vendors 99 and 123. */
export const C1 = 'CQlH_MAQlH_MAEsABBENCWFgAPLAAELAAAYgA9gAAAAAAAAAAAAAAACAAACAPYAAAAAAAAAAAAAAAAAAAAgAA.IA9gAAAAAAAAAAAAAAACAAAC'
/** Vendor 99 only. */
export const C3 = 'CQlH_MAQlH_MAEsABBENCWFgALLAAAAAAAYgAxgAAAAAAAAAAAAAAACAAAAA.IA9gAAAAAAAAAAAAAAACAAAC'
/** Purpose 1 only, vendor 123 among others. */
export const C14 = 'CQlH_MAQlH_MAEsABBENCWFgAIAAAAAAAAYgA9gAAAAAAAAAAAAAAAAAAACAAAAA.IA9gAAAAAAAAAAAAAAAAAAAC'
