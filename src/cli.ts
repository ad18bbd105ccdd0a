// The command line: flags in, one command, its output, its exit code. Commands are loaded when they are asked for.

import { Command, CommanderError } from 'commander'
import type { Flags } from './commands/context.ts'
import { type Outcome, printError, printOutcome } from './commands/output.ts'
import { packageVersion } from './engine/package-files.ts'

const EXIT_USAGE = 2
const EXIT_SOMETHING_FAILED = 4

export async function run(argv: readonly string[]): Promise<number> {
  let exitCode = 0
  const program = new Command('madeleine')
    .description('A cookie audience engine on ClickHouse')
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError()

  function command(signature: string, description: string): Command {
    return program
      .command(signature)
      .description(description)
      .exitOverride()
      .option('--config <dir>', 'configuration directory (MADELEINE_CONFIG, ./config)')
      .option('--data <dir>', 'data directory (MADELEINE_DATA, ./data)')
      .option('--json', 'one JSON document on standard output')
  }
  const finish = (outcome: Outcome & { readonly exitCode?: number }, flags: Flags): void => {
    printOutcome(outcome, flags.json ?? false)
    exitCode = outcome.exitCode ?? (outcome.failed ? EXIT_SOMETHING_FAILED : 0)
  }

  command('serve', 'collect events until stopped').action(async (flags: Flags) =>
    (await import('./commands/serve.ts')).serve(flags),
  )
  command('demo', 'the whole job on sample traffic through the real pixel')
    .option('--once', 'exit when done instead of staying up')
    .action(async (flags: Flags & { once?: boolean }) => {
      const demo = await import('./commands/demo.ts')
      await demo.demo(flags, (outcome) => finish(outcome, flags))
    })
  command('check', 'validate the configuration')
    .option('--schema <dir>', 'also write the JSON Schemas of the files there, for editors')
    .action(async (flags: Flags & { schema?: string }) => finish(await (await import('./commands/check.ts')).check(flags), flags))
  command('test', 'run the tests of the segments').action(async (flags: Flags) =>
    finish((await import('./commands/test.ts')).test(flags), flags),
  )
  const imports = program.command('import').description('bring in data from files').exitOverride()
  const importing = (signature: string, description: string): Command =>
    imports
      .command(signature)
      .description(description)
      .exitOverride()
      .option('--rejects <file>', 'where every rejected line is written with its reason (rejects/ in the data directory)')
      .option('--config <dir>', 'configuration directory (MADELEINE_CONFIG, ./config)')
      .option('--data <dir>', 'data directory (MADELEINE_DATA, ./data)')
      .option('--json', 'one JSON document on standard output')
  importing('events <file>', 'events, NDJSON or CSV; .gz too')
    .option('--format <format>', 'ndjson or csv, where the name of the file does not say')
    .action(async (file: string, flags: import('./commands/import-file.ts').ImportFlags & { format?: string }) =>
      finish(await (await import('./commands/import-events.ts')).importEventsFile(file, flags), flags),
    )
  importing('list <file>', 'one visitor id a line, or CSV of visitor,list; .gz too; takes the place of the list as it was')
    .option('--list <id>', 'the id of the list, where the lines do not say')
    .option('--expires <duration>', 'how long the list holds from now (90d)')
    .action(async (file: string, flags: import('./commands/import-file.ts').ImportFlags & { list?: string; expires?: string }) =>
      finish(await (await import('./commands/import-list.ts')).importListFile(file, flags), flags),
    )
  importing('matches <file>', 'visitor,partner_id lines into the match table; .gz too')
    .requiredOption('--partner <key>', "the partner's key in the match table")
    .action(async (file: string, flags: import('./commands/import-file.ts').ImportFlags & { partner: string }) =>
      finish(await (await import('./commands/import-matches.ts')).importMatchesFile(file, flags), flags),
    )
  command('build [id...]', 'bring audiences up to date')
    .option('--full', 'evaluate everything over everybody, whatever was there')
    .option('--verify', 'build nothing; prove that members are what a build from nothing would find')
    .action(async (ids: string[], flags: import('./commands/build.ts').BuildFlags) =>
      finish(await (await import('./commands/build.ts')).build(ids, flags), flags),
    )
  command('plan [id...]', 'what a build would change, exactly, without changing it')
    .option('--markdown', 'a table for a pull request')
    .option('--max-shrink <percent>', 'exit code 4 if an audience would lose more of its members')
    .option('--max-growth <percent>', 'exit code 4 if an audience would grow by more')
    .action(async (ids: string[], flags: import('./commands/plan.ts').PlanFlags) =>
      finish(await (await import('./commands/plan.ts')).plan(ids, flags), flags),
    )
  command('members <id...>', "an audience's members")
    .option('--as-of <time>', "today's rules on the events up to a moment")
    .option('--scores', "of lookalikes, each member's score, the best first")
    .action(async (ids: string[], flags: import('./commands/members.ts').MembersFlags) =>
      finish(await (await import('./commands/members.ts')).members(ids, flags), flags),
    )
  command('estimate [id]', 'the size of a rule, exact or with an interval, within a second')
    .option('-f, --file <file>', 'of the segments in a file, which need not be in the configuration')
    .action(async (id: string | undefined, flags: Flags & { file?: string }) =>
      finish(await (await import('./commands/estimate.ts')).estimate(id, flags), flags),
    )
  command('why <visitor> <id>', 'why a visitor is in an audience or not, and when that turns').action(
    async (visitor: string, id: string, flags: Flags) =>
      finish(await (await import('./commands/why.ts')).why(visitor, id, flags), flags),
  )
  command('history <id|visitor>', 'what is remembered of an audience, or of a visitor')
    .option('--since <time>', 'only from a moment on')
    .action(async (text: string, flags: Flags & { since?: string }) =>
      finish(await (await import('./commands/history.ts')).history(text, flags), flags),
    )
  command('link', 'a measured link: /click with a signed target')
    .requiredOption('--url <url>', 'where the click leads')
    .requiredOption('--source <id>', 'what it is counted for')
    .option('--campaign <text>')
    .option('--creative <text>')
    .option('--placement <text>')
    .option('--base <url>', 'where the collector is reached, such as https://px.example')
    .action(async (flags: import('./commands/link.ts').LinkFlags) =>
      finish((await import('./commands/link.ts')).link(flags), flags),
    )
  command('export [destination...]', 'deliver what changed')
    .option('--full', 'the whole audience instead of the changes')
    .option('--dry-run', 'say what would be delivered, deliver nothing')
    .action(async (ids: string[], flags: Flags & { full?: boolean; dryRun?: boolean }) =>
      finish(await (await import('./commands/export.ts')).exportDestinations(ids, flags), flags),
    )

  const reports = program.command('report').description('numbers about events and audiences').exitOverride()
  reports
    .command('fields')
    .description('which fields and values come in, and which no rule uses')
    .exitOverride()
    .option('--config <dir>', 'configuration directory (MADELEINE_CONFIG, ./config)')
    .option('--data <dir>', 'data directory (MADELEINE_DATA, ./data)')
    .option('--json', 'one JSON document on standard output')
    .action(async (flags: Flags) => finish(await (await import('./commands/report-fields.ts')).reportFieldsCommand(flags), flags))
  reports
    .command('lookalike <id>')
    .description('how well a lookalike finds those of its seed whom its model has not seen, and by what')
    .exitOverride()
    .option('--config <dir>', 'configuration directory (MADELEINE_CONFIG, ./config)')
    .option('--data <dir>', 'data directory (MADELEINE_DATA, ./data)')
    .option('--json', 'one JSON document on standard output')
    .action(async (id: string, flags: Flags) =>
      finish(await (await import('./commands/report-lookalike.ts')).reportLookalike(id, flags), flags),
    )

  try {
    await program.parseAsync(argv as string[])
    return exitCode || Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
    return printError(error)
  }
}
