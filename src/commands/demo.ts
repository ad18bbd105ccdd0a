import type { Flags } from './context.ts'
import type { Outcome } from './output.ts'
export async function demo(_flags: Flags & { once?: boolean }, _finish: (o: Outcome) => void): Promise<void> {}
