// Metrics that are read where they are kept, when somebody asks: nothing is counted twice, and nothing is made anew at each scrape.

import { Counter, Gauge, type Registry } from 'prom-client'

export type Labels = Readonly<Record<string, string>>
/** Values by label; one without labels is `[[{}, n]]`. */
export type Values = Iterable<readonly [Labels, number]>

type Named = { readonly name: string; readonly help: string; readonly labels?: readonly string[] }

/** Only ever grows while the process lives. */
export function addCounter(registry: Registry, { name, help, labels = [] }: Named, read: () => Values | number): void {
  new Counter({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset()
      const values = read()
      if (typeof values === 'number') this.inc(values)
      else for (const [label, value] of values) this.inc({ ...label }, value)
    },
  })
}

export function addGauge(registry: Registry, { name, help, labels = [] }: Named, read: () => Values | number): void {
  new Gauge({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset()
      const values = read()
      if (typeof values === 'number') this.set(values)
      else for (const [label, value] of values) this.set({ ...label }, value)
    },
  })
}
