// Bundles src/ into dist/ and the tag into dist/t.js. Run by `npm ci` (prepare), so a fresh checkout has a working command.
import { chmodSync, existsSync, rmSync, symlinkSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
await build({
  entryPoints: { main: 'src/main.ts', 'engine-process': 'src/engine/process.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true, // commands are loaded on demand: `members` does not pay for the collector
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
})
await build({
  entryPoints: { t: 'pixels/tag.ts' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  platform: 'browser',
  format: 'iife',
  target: 'es2018',
  logLevel: 'warning',
})
chmodSync('dist/main.js', 0o755)

// npm links the commands of dependencies, not of the project itself: with this `npx madeleine` starts at once and without asking a registry.
if (existsSync('node_modules/.bin')) {
  rmSync('node_modules/.bin/madeleine', { force: true })
  symlinkSync('../../dist/main.js', 'node_modules/.bin/madeleine')
}
