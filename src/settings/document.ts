// One YAML file: parsed, with ${ENV_VAR} replaced, and able to say at which line and column a value stands.

import { isMap, isPair, isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml'
import type { Problem, ProblemPath } from '../rules/rule.ts'

export type ConfigError = { readonly file: string; readonly line: number; readonly column: number; readonly message: string }

export type Document = {
  readonly file: string
  readonly value: unknown
  readonly errors: readonly ConfigError[]
  /** False where the text is no YAML: `value` says nothing then. */
  readonly readable: boolean
  /** A problem of `value`, at its place in the file. */
  locate(problem: Problem): ConfigError
}

/** `$${NAME}` is the text `${NAME}`: partners' macros look like variables. */
const VARIABLE = /\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g

export function parseConfigFile(file: string, text: string, environment: Readonly<Record<string, string | undefined>>): Document {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true, uniqueKeys: true })
  const at = (offset: number, message: string): ConfigError => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col), message }
  }
  const errors = [...document.errors, ...document.warnings].map((error) => at(error.pos[0], error.message))

  let readable = errors.length === 0

  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string' || !node.value.includes('${')) return
      const text = node.value.replace(VARIABLE, (whole, name: string) => {
        if (whole.startsWith('$$')) return whole.slice(1)
        const value = Object.hasOwn(environment, name) ? environment[name] : undefined
        if (value !== undefined) return value
        errors.push(at(node.range?.[0] ?? 0, `environment variable ${name} is not set`))
        return whole // not '', which would be a second error
      })
      // Without quotes a number stays a number: `minimum_size: ${MINIMUM}`.
      node.value = node.type === 'PLAIN' && /^-?\d{1,15}(\.\d+)?$/.test(text) ? Number(text) : text
    },
  })

  /** The node at a path; where it ends early (a missing key), the deepest node there is. */
  function nodeAt(path: ProblemPath): Node | undefined {
    for (let length = path.length; length >= 0; length--) {
      const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
      if (typeof node === 'object' && node !== null && 'range' in node) return node as Node
    }
    return undefined
  }
  function keyNode(path: ProblemPath): Node | undefined {
    const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
    if (!isMap(parent)) return undefined
    const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(path.at(-1)))
    return isScalar(pair?.key) ? pair.key : undefined
  }

  let value: unknown = null
  try {
    value = readable ? document.toJS({ maxAliasCount: 100 }) : null
  } catch (error) {
    readable = false
    errors.push(at(0, error instanceof Error ? error.message : String(error)))
  }
  return {
    file,
    value,
    errors,
    readable,
    locate(problem) {
      const node = (problem.at === 'key' ? keyNode(problem.path) : undefined) ?? nodeAt(problem.path)
      return at(node?.range?.[0] ?? 0, problem.message)
    },
  }
}
