// zod's issues as problems with a place.

import type { z } from 'zod'
import type { Problem, ProblemPath } from '../rules/rule.ts'

const pathOf = (path: readonly PropertyKey[]): ProblemPath => path.map((key) => (typeof key === 'number' ? key : String(key)))

export function problemsOf(error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    const path = pathOf(issue.path)
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ path: [...path, key], at: 'key', message: `unknown key \`${key}\`` }))
    const missing = issue.code === 'invalid_type' && issue.input === undefined && issue.message.includes('undefined')
    const last = path.at(-1)
    return [
      {
        path,
        at: 'value',
        message: missing ? `\`${last}\` is missing` : `${last === undefined ? '' : `\`${last}\`: `}${issue.message}`,
      },
    ]
  })
}
