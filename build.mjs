// Bundles src/ into dist/ and the tag into dist/t.js. Run by `npm ci` (prepare), so a fresh checkout has a working command.
import { chmodSync, existsSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { build } from 'esbuild'

const main = await build({
  entryPoints: {
    main: 'src/main.ts',
    'engine-process': 'src/engine/process.ts',
    'segmenter-thread': 'src/commands/segmenter-thread.ts',
    'trainer-thread': 'src/commands/trainer-thread.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true, // commands are loaded on demand: `members` does not pay for the collector
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
  metafile: true,
})
const tag = await build({
  entryPoints: { t: 'pixels/tag.ts' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  platform: 'browser',
  format: 'iife',
  target: 'es2020',
  logLevel: 'warning',
  metafile: true,
})
chmodSync('dist/main.js', 0o755)

// Only what is no longer made is removed: a command that runs meanwhile still finds its parts.
const made = new Set([...Object.keys(main.metafile.outputs), ...Object.keys(tag.metafile.outputs)].map((path) => basename(path)))
for (const name of readdirSync('dist')) if (!made.has(name)) rmSync(`dist/${name}`, { recursive: true })

// npm links the commands of dependencies, not of the project itself: with this `npx madeleine` starts at once and without asking a registry.
if (existsSync('node_modules/.bin')) {
  rmSync('node_modules/.bin/madeleine', { force: true })
  symlinkSync('../../dist/main.js', 'node_modules/.bin/madeleine')
}
