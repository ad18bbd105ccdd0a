// What the operator of the collector has decided, in one text that the collector writes into the script as it serves it:
// `<TCF vendor id or empty>.<allow|deny>.<sources in publisher mode, with commas>`; allow and deny are the settings' `consent.no_signal`. Left as it stands it
// means no vendor, deny and no source. Written once, so that the bundle holds it once.

export const [VENDOR = '', NO_SIGNAL, SOURCES = ''] = '%MADELEINE_POLICY%'.split('.')
