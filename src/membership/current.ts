// Who is in, as of the last tick.

/**
 * Rows `(visitor, ends)` of the members of `{audience:String}` up to `{tick:UInt64}`. What is past its end at `{now:Int64}` is gone at once, whether or not a tick
 * has said so.
 */
export const CURRENT_MEMBERS = `SELECT visitor, argMax(transitions.expires, tick) AS ends FROM madeleine.transitions
  WHERE audience = {audience:String} AND tick <= {tick:UInt64} GROUP BY visitor
  HAVING argMax(kind, tick) != 'left' AND ends > fromUnixTimestamp64Milli({now:Int64}, 'UTC')`
