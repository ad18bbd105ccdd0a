// Lookalikes beside scikit-learn and XGBoost, in one run on the same matrices. A trait is hidden, a salted half of those who have it is the seed, everybody else is
// ranked: how much of the other half stands in the best 5 %? Not part of CI: it needs Python, python3-sklearn and python3-xgboost (Debian's names).
// `product` is the whole way: the columns as pages of a site in events of a scratch store, the seed as a list, a training with a reach of everybody.
//   npm run build && npm run bench:lookalike -- --sets msweb,small,deskdrop

import { parseArgs } from 'node:util'
import { fitModel } from '../../src/lookalike/model/fit.ts'
import { marginsOf } from '../../src/lookalike/model/model.ts'
import { deskdropTasks, hashOf, mswebTasks, smaller, type Task } from './lookalike-data.ts'
import { mean, paired, type Result, resultOf } from './lookalike-metrics.ts'
import { productScores } from './lookalike-product.ts'
import { PYTHON_RANKERS, pythonScores } from './lookalike-python.ts'

const { values: options } = parseArgs({
  options: { sets: { type: 'string', default: 'msweb,small,deskdrop' }, salt: { type: 'string', default: 's' } },
})
const SMALL = [30, 100, 300, 1000]
const DRAWS = 3
const SALTS = ['a', 'b', 'c', 'd', 'e']

/** Scores of every row of a task; the seed's own are not looked at. */
type Ranker = (task: Task) => Float64Array | Promise<Float64Array>

const kinds = new Map<string, number>()
const OURS: Readonly<Record<string, Ranker>> = {
  ours: ({ rows, seed, activity, ids }) => {
    const ties = Uint32Array.from(ids, (id) => hashOf(`tie:${id}`))
    const counts = new Float32Array(rows.size).fill(1)
    const { model } = fitModel({ rows, labels: seed, counts, activity, ties }, { seed: 1 })
    kinds.set(model.kind, (kinds.get(model.kind) ?? 0) + 1)
    return marginsOf(model, rows)
  },
  most_active: ({ activity }) => Float64Array.from(activity),
}

/** `draws`: so many tasks in a row are draws of one, and count as one in the intervals. */
async function measure(
  title: string,
  tasks: readonly Task[],
  { isEach, draws = 1, isWhole = false }: { isEach: boolean; draws?: number; isWhole?: boolean },
): Promise<void> {
  const results = new Map<string, Result[]>()
  const tookS = new Map<string, number>()
  kinds.clear()
  for (const [name, ranker] of Object.entries({ ...OURS, ...(isWhole && { product: productScores }) })) {
    const before = process.cpuUsage().user
    const own: Result[] = []
    for (const task of tasks) own.push(resultOf(task, await ranker(task)))
    results.set(name, own)
    tookS.set(name, (process.cpuUsage().user - before) / 1e6)
  }
  const python = pythonScores(tasks)
  for (const name of PYTHON_RANKERS) {
    results.set(
      name,
      tasks.map((task, n) => resultOf(task, python.scores[n]?.get(name) as Float64Array)),
    )
    tookS.set(name, python.took[name] ?? 0)
  }
  console.log(`\n${title}: ${tasks.length} tasks; ours chose ${[...kinds].map(([kind, count]) => `${kind} ${count}`).join(', ')}`)
  const of = (name: string, key: keyof Result): number[] => (results.get(name) as Result[]).map((result) => result[key])
  const grouped = (name: string, key: keyof Result): number[] => {
    const all = of(name, key)
    return Array.from({ length: all.length / draws }, (_, n) => mean(all.slice(n * draws, (n + 1) * draws)))
  }
  if (isEach) {
    console.log('task        visitors   seed   ours auc/recall   xgboost         regression')
    for (const [n, { name, rows, seed }] of tasks.entries()) {
      const cell = (ranker: string) => `${of(ranker, 'auc')[n]?.toFixed(3)} / ${of(ranker, 'recall')[n]?.toFixed(3)}`.padEnd(16)
      const members = seed.reduce((sum, label) => sum + label, 0)
      console.log(
        `${name.padEnd(11)} ${String(rows.size).padStart(8)} ${String(members).padStart(6)}   ${['ours', 'xgboost', 'sklearn_regression'].map(cell).join('')}`,
      )
    }
  }
  console.log('mean over tasks       AUC      recall at 5 %   CPU s')
  for (const name of results.keys())
    console.log(
      `${name.padEnd(20)}  ${mean(of(name, 'auc')).toFixed(4)}   ${mean(of(name, 'recall')).toFixed(4)}          ${tookS.get(name)?.toFixed(1)}`,
    )
  for (const own of isWhole ? ['ours', 'product'] : ['ours'])
    for (const rival of ['xgboost', 'sklearn_regression'])
      console.log(
        `${own} - ${rival}, 95 % over tasks: AUC ${paired(grouped(own, 'auc'), grouped(rival, 'auc'))}, recall ${paired(grouped(own, 'recall'), grouped(rival, 'recall'))}`,
      )
}

const sets = new Set(options.sets.split(','))
if (sets.has('msweb'))
  await measure(`MSWeb, salt ${options.salt}`, [...mswebTasks(options.salt)], { isEach: true, isWhole: true })
if (sets.has('small')) {
  const tasks = [...mswebTasks(options.salt)]
  for (const count of SMALL) {
    const drawn = tasks.flatMap((task) => Array.from({ length: DRAWS }, (_, draw) => smaller(task, count, draw) ?? []).flat())
    await measure(`MSWeb, seeds of ${count}, ${DRAWS} draws`, drawn, { isEach: false, draws: DRAWS })
  }
}
if (sets.has('deskdrop')) {
  const tasks = [...deskdropTasks(SALTS)]
  await measure(
    `Deskdrop: liked or bookmarked something, ${SALTS.length} salts`,
    tasks.filter(({ name }) => name.startsWith('liked')),
    { isEach: true },
  )
  await measure(
    'Deskdrop: read a popular page',
    tasks.filter(({ name }) => !name.startsWith('liked')),
    { isEach: true },
  )
}
