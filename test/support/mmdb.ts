// A small writer of MaxMind DB files (the format's specification 2.0, IPv4 tree, 24-bit records): tests bring their own places, as operators do.

type Place = { readonly country: string; readonly region?: string }
type Node = [Node | number | undefined, Node | number | undefined]
type Value = string | number | Value[] | { readonly [key: string]: Value }

function encode(value: Value): Buffer {
  const control = (type: number, size: number) => (type > 7 ? Buffer.from([size, type - 7]) : Buffer.from([(type << 5) | size]))
  if (typeof value === 'string') return Buffer.concat([sized(2, Buffer.byteLength(value)), Buffer.from(value)])
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return Buffer.concat([control(6, 4), bytes])
  }
  if (Array.isArray(value)) return Buffer.concat([control(11, value.length), ...value.map(encode)])
  const entries = Object.entries(value)
  return Buffer.concat([control(7, entries.length), ...entries.flatMap(([key, inner]) => [encode(key), encode(inner)])])
}

/** Sizes from 29 on take a second byte. */
const sized = (type: number, size: number): Buffer =>
  size < 29 ? Buffer.from([(type << 5) | size]) : Buffer.from([(type << 5) | 29, size - 29])

/** `places`: by IPv4 network, such as `81.2.69.0/24`. */
export function writePlaces(places: Readonly<Record<string, Place>>): Buffer {
  const root: Node = [undefined, undefined]
  const data: Buffer[] = []
  let dataBytes = 0
  for (const [network, { country, region }] of Object.entries(places)) {
    const [address = '', length = '32'] = network.split('/')
    const bits = address
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')
      .slice(0, Number(length))
    let node = root
    for (const bit of bits.slice(0, -1)) {
      const side = bit === '1' ? 1 : 0
      const next = (node[side] as Node | undefined) ?? [undefined, undefined]
      node[side] = next
      node = next
    }
    node[bits.at(-1) === '1' ? 1 : 0] = dataBytes
    const record = encode({ country: { iso_code: country }, ...(region ? { subdivisions: [{ iso_code: region }] } : {}) })
    data.push(record)
    dataBytes += record.length
  }
  const nodes: Node[] = []
  const number = new Map<Node, number>()
  const visit = (node: Node) => {
    number.set(node, nodes.length)
    nodes.push(node)
    for (const side of node) if (Array.isArray(side)) visit(side)
  }
  visit(root)
  const tree = Buffer.alloc(nodes.length * 6)
  nodes.forEach((node, i) => {
    node.forEach((side, n) => {
      const value =
        side === undefined ? nodes.length : typeof side === 'number' ? nodes.length + 16 + side : (number.get(side) ?? 0)
      tree.writeUIntBE(value, i * 6 + n * 3, 3)
    })
  })
  const metadata = encode({
    node_count: nodes.length,
    record_size: 24,
    ip_version: 4,
    database_type: 'Test-City',
    languages: ['en'],
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 1_700_000_000,
    description: { en: 'made by a test' },
  })
  return Buffer.concat([tree, Buffer.alloc(16), ...data, Buffer.from('abcdef', 'hex'), Buffer.from('MaxMind.com'), metadata])
}
