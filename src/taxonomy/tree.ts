// A taxonomy: nodes with a parent, a name and perhaps a mark that they are sensitive. Whatever is no tree (an id twice, a parent nobody knows, a cycle) is a
// problem of the row that says so, never a guess.

export type TaxonomyNode = {
  readonly id: string
  /** Undefined at the top. */
  readonly parent: string | undefined
  readonly name: string
  /** Its own mark; what lies below a marked node is sensitive as well (`sensitiveFor`). */
  readonly sensitive: boolean
}

export type Taxonomy = {
  /** In the order of the rows. */
  readonly nodes: ReadonlyMap<string, TaxonomyNode>
  /** The id and every id below it, each before what is below it. An id the taxonomy does not know stands for itself alone. */
  descendants(id: string): readonly string[]
  /** The ids above, the nearest first. */
  ancestors(id: string): readonly string[]
  /** Nodes of this name, whatever the case: a name may stand in several places. */
  named(name: string): readonly TaxonomyNode[]
  /** The names from the top down to the node: `Interest | Automotive`. The id itself where it is unknown. */
  pathOf(id: string): string
  /** The marked node that makes this one sensitive: itself or the nearest above. */
  sensitiveFor(id: string): TaxonomyNode | undefined
}

export const TAXONOMY_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

/** `place`: whatever the reader needs to say where the row stands. */
export type TaxonomyRow<Place> = TaxonomyNode & { readonly place: Place }
export type RowProblem<Place> = { readonly place: Place; readonly at: 'id' | 'parent'; readonly message: string }

/** IAB marks names with an asterisk that only points to a footnote. */
const folded = (name: string): string => name.toLowerCase().replaceAll('*', '').trim()

/** The first node of each cycle that the walk meets, with the ids on it. */
function cycles(nodes: ReadonlyMap<string, TaxonomyNode>): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  const settled = new Set<string>()
  for (const start of nodes.keys()) {
    const walk = new Set<string>()
    let id: string | undefined = start
    while (id !== undefined && !settled.has(id) && !walk.has(id)) {
      walk.add(id)
      id = nodes.get(id)?.parent
    }
    if (id !== undefined && walk.has(id)) {
      const path = [...walk]
      found.set(id, path.slice(path.indexOf(id)))
    }
    for (const seen of walk) settled.add(seen)
  }
  return found
}

function grow(nodes: ReadonlyMap<string, TaxonomyNode>): Taxonomy {
  const children = new Map<string, string[]>()
  const byName = new Map<string, TaxonomyNode[]>()
  for (const node of nodes.values()) {
    if (node.parent !== undefined) {
      const siblings = children.get(node.parent)
      if (siblings) siblings.push(node.id)
      else children.set(node.parent, [node.id])
    }
    const name = folded(node.name)
    const same = byName.get(name)
    if (same) same.push(node)
    else byName.set(name, [node])
  }
  function ancestors(id: string): string[] {
    const above: string[] = []
    for (let parent = nodes.get(id)?.parent; parent !== undefined; parent = nodes.get(parent)?.parent) above.push(parent)
    return above
  }
  return Object.freeze({
    nodes,
    ancestors,
    descendants(id: string) {
      const below: string[] = []
      // A stack of its own: an operator's tree may be deeper than the call stack.
      const waiting = id === '' ? [] : [id]
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        below.push(next)
        const inside = children.get(next)
        for (let n = (inside?.length ?? 0) - 1; n >= 0; n--) waiting.push(inside?.[n] as string)
      }
      return below
    },
    named: (name: string) => byName.get(folded(name)) ?? [],
    pathOf: (id: string) =>
      [id, ...ancestors(id)]
        .reverse()
        .map((each) => nodes.get(each)?.name ?? each)
        .join(' | '),
    sensitiveFor: (id: string) => [id, ...ancestors(id)].map((each) => nodes.get(each)).find((node) => node?.sensitive),
  })
}

/** With problems, the tree is what is left of the rows: good for looking on, not for running. */
export function makeTaxonomy<Place>(rows: readonly TaxonomyRow<Place>[]): {
  readonly taxonomy: Taxonomy
  readonly problems: readonly RowProblem<Place>[]
} {
  const problems: RowProblem<Place>[] = []
  const nodes = new Map<string, TaxonomyNode>()
  const places = new Map<string, Place>()
  for (const { place, id, parent, name, sensitive } of rows) {
    const same = nodes.get(id)
    if (same) {
      problems.push({ place, at: 'id', message: `\`${id}\` is a node already: ${same.name}` })
      continue
    }
    nodes.set(id, Object.freeze({ id, parent, name, sensitive }))
    places.set(id, place)
  }
  const uproot = (node: TaxonomyNode, message: string) => {
    problems.push({ place: places.get(node.id) as Place, at: 'parent', message })
    nodes.set(node.id, Object.freeze({ ...node, parent: undefined }))
  }
  for (const node of [...nodes.values()])
    if (node.parent !== undefined && !nodes.has(node.parent)) uproot(node, `unknown parent \`${node.parent}\``)
  for (const [id, ring] of cycles(nodes)) {
    const node = nodes.get(id)
    if (node) uproot(node, `cycle: ${[...ring, id].join(' -> ')}`)
  }
  return { taxonomy: grow(nodes), problems }
}

/** Our own tables of facts: `id|parent|name`, with `|SCD` behind sensitive ones. */
export function rowsOfFacts(facts: string): TaxonomyRow<undefined>[] {
  return facts
    .trim()
    .split('\n')
    .map((line) => {
      const [id = '', parent = '', name = '', flag] = line.split('|')
      return { id, parent: parent === '' ? undefined : parent, name, sensitive: flag === 'SCD', place: undefined }
    })
}
