#!/usr/bin/env node
import { run } from './cli.ts'

// `madeleine members ... | head`: the reader has had enough, which is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

process.exitCode = await run(process.argv)
