// Tests run the built command, as a user does: build it once before them.

import { execFileSync } from 'node:child_process'

export function setup(): void {
  execFileSync(process.execPath, ['build.mjs'], { stdio: 'inherit' })
}
