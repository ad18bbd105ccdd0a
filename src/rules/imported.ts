// Which import of a list counts: the last one that came to its end, until the list itself ends. An older one never takes its place again.

/** `list`, `generation`. */
export const CURRENT_IMPORTS = `SELECT list, newest AS generation FROM (
  SELECT list, max(generation) AS newest, argMax(expires, generation) AS ends FROM madeleine.list_imports GROUP BY list
) WHERE ends > now64(3)`
