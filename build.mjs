// Bundles src/ into dist/ and the tag into dist/t.js. Run by `npm ci` (prepare), so a fresh checkout has a working command.
import { chmodSync, rmSync } from 'node:fs'
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
