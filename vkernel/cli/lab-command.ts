/** `vkernel lab ...`: what the nested-paging laboratory can be asked for. Each command is a module of its own. */
import type { Command } from 'commander';
import type { RawCompareOptions } from './lab-compare.ts';
import type { ListOptions } from './lab-lists.ts';
import type { RawReportOptions } from './lab-report.ts';
import type { RawLiveOptions } from './lab-live.ts';
import type { RawShapesOptions } from './lab-shapes.ts';
import type { RawSweepOptions } from './lab-sweep.ts';
import type { RawWorkOptions } from './lab-work.ts';
import { DEFAULT_MEMORY } from './options.ts';

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

const EXAMPLES = `
Examples:
  vkernel lab compare --guest sv39 --host sv48 --workload gups,btree --methods native,nested,shadow
  vkernel lab compare --guest sv39 --host sv39,sv48 --methods native,nested          three levels deep
  vkernel lab run --method nested --guest ./own.toml --host-pages 2M --machine haswell --out nested.json
  vkernel lab sweep --methods nested,shadow --vary footprint=64M..4G*2 --vary host-pages=4K,2M --results here
  vkernel lab merge here there --out all.json`;

/** What is to be run: all that a job says. */
function jobFlags(command: Command): Command {
  return command
    .option('--guest <LAYOUT>', 'page tables of the guest: a name out of `vkernel layouts`, or a file', 'sv39')
    .option('--host <LAYOUT>', 'of its host; two, separated by a comma: of its host, and of the host below that', 'sv48')
    .option('--guest-pages <SIZES>', 'page sizes the guest uses: 4K, 2M, 1G, 4K+2M, base, thp')
    .option('--host-pages <SIZES>', 'those of the host; separated by a comma, of both')
    .option('--workload <NAMES>', 'programs that the guest runs, out of `vkernel lab workloads`; gups by default')
    .option('--footprint <SIZE>', 'memory that the workload uses: 64M, 4G')
    .option('--trace <FILE>', 'accesses of a trace instead; - is standard input')
    .option('--trace-format <FORMAT>', 'of the trace; without it, by its name and beginning')
    .option('--machine <MACHINE>', 'the machine to model: a name out of `vkernel lab machines`, or a file')
    .option('--accesses <N>', 'accesses to count')
    .option('--warm-up <N>', 'accesses before them, of which nothing is counted')
    .option('--seed <S>', 'the same seed makes the same accesses', '1')
    .option('--set <KEY=VALUE>', 'anything else: machine.tlb.l2.entries=512, workload.writes=0.1. May be repeated', collect, []);
}

/** Registers the commands. */
export function labCommands(program: Command, done: (status: number) => void): void {
  const lab = program.command('lab').description('the nested-paging laboratory: count and compare what address translation costs');
  lab.addHelpText('after', EXAMPLES);

  jobFlags(lab.command('run').description('run one method over one workload; the result is JSON'))
    .option('--method <METHOD>', 'how the guest is run, out of `vkernel lab methods`', 'nested')
    .option('--out <FILE>', 'write the result here')
    .option('--json', 'print it, too')
    .action(async (raw: RawCompareOptions) => done(await (await import('./lab-compare.ts')).runCommand(raw)));

  jobFlags(lab.command('compare').description('run several methods over the same workloads; a table, and JSON'))
    .option('--methods <NAMES>', 'out of `vkernel lab methods`', 'native,nested')
    .option('--out <FILE>', 'where the results go as JSON; without it, and without --json, to lab.json')
    .option('--json', 'print them, not the table')
    .action(async (raw: RawCompareOptions) => done(await (await import('./lab-compare.ts')).compareCommand(raw)));

  jobFlags(lab.command('sweep').description('run every combination of parameters, on all processors; may be interrupted and continued'))
    .option('--methods <NAMES>', 'out of `vkernel lab methods`', 'native,nested')
    .option(
      '--vary <KEY=VALUES>',
      'values of a parameter: 4K,2M or ranges 64M..4G*2, 0..1000+100; any key of --set, guest-pages, host-pages, ... May be repeated',
      collect,
      [],
    )
    .option('--results <DIR>', 'where results are kept, a file each', 'lab-results')
    .option('--workers <N>', 'threads; without it, one for each processor')
    .option('--shard <I/N>', 'only part I of N, for job arrays')
    .option('--queue <URL>', 'by all `vkernel lab work` at this Redis, not here: redis://HOST:6379')
    .option('--out <FILE>', 'write all results here at the end')
    .option('--json', 'the summary as JSON')
    .action(async (raw: RawSweepOptions) => done(await (await import('./lab-sweep.ts')).sweepCommand(raw)));

  lab
    .command('work')
    .description('run jobs that sweeps have put into a queue, on all processors, until interrupted')
    .requiredOption('--queue <URL>', 'a Redis server: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]')
    .option('--workers <N>', 'threads; without it, one for each processor')
    .option('--patience <SECONDS>', 'end when there was nothing to do for so long')
    .action(async (raw: RawWorkOptions) => done(await (await import('./lab-work.ts')).workCommand(raw)));

  lab
    .command('live')
    .description('boot the stack, run a program in it, and measure its real accesses and page tables by several methods')
    .option('--methods <NAMES>', 'out of `vkernel lab methods`', 'native,nested,shadow,vpagetable,agile')
    .option('--machine <MACHINE>', 'the machine to model: a name out of `vkernel lab machines`, or a file')
    .option('--record <FILE>', 'write what happened as a trace, for `vkernel lab compare --trace`')
    .option('--out <FILE>', 'write the results here')
    .option('--json', 'print everything as JSON')
    .option('-m, --memory <SIZE>', 'RAM of the machine: 64M, 1G, ... up to 4G less 64K', DEFAULT_MEMORY)
    .option('--image <SIZE>', 'memory of the guest, 7/8 of RAM by default')
    .option('--swap <SIZE|FILE>', 'where physmem puts what does not fit into the guest')
    .option('--policy <NAME>', 'how memory is divided among those who negotiate for it: fixed or weight', 'fixed')
    .option('--mmu <LAYOUT>', 'page tables of the hardware: a name out of `vkernel layouts`, or a file')
    .option('--vpte <LAYOUT>', 'virtual page tables: a name out of `vkernel layouts`, or a file')
    .option('--fault-around <PAGES>', 'resident pages the pager maps around a fault: 1, 2, 4, 8 or 16', '16')
    .option('--cluster <PAGES>', 'fresh pages the pager brings in at a fault: 1, 2, 4, 8 or 16', '1')
    .option('--root <DIR>', 'directory the program sees as its file system; read only, changes stay in memory')
    .argument('<PROGRAM>', 'a static riscv64 or riscv32 Linux program: a path inside --root, or of this machine without it')
    .argument('[ARGS...]', 'its arguments')
    .passThroughOptions()
    .action(async (path: string, args: string[], raw: RawLiveOptions) =>
      done(await (await import('./lab-live.ts')).liveCommand(path, args, raw)),
    );

  lab
    .command('merge')
    .description('join results: folders of sweeps, files of runs and comparisons')
    .argument('<PATHS...>', 'folders and files')
    .option('--out <FILE>', 'where to; without it, standard output')
    .action(async (paths: string[], options: { out?: string }) => done((await import('./lab-results.ts')).mergeCommand(paths, options)));

  lab
    .command('diff')
    .description('compare two files of results, or of a benchmark suite: counters, then derived values, then times')
    .argument('<A>', 'JSON of run, compare, merge, or of `npm run bench`')
    .argument('<B>', 'the same of another run')
    .option('--json', 'the differences as JSON')
    .action(async (a: string, b: string, options: { json?: boolean }) => done((await import('./lab-diff.ts')).diffCommand(a, b, options)));

  const lists = async () => import('./lab-lists.ts');
  lab
    .command('workloads')
    .description('programs that a guest can run; of one, its parameters')
    .argument('[NAME]', 'one of them')
    .option('--json', 'the same as JSON')
    .action(async (name: string | undefined, options: ListOptions) => done((await lists()).workloadsCommand(name, options)));
  lab
    .command('machines')
    .description('machines to model; of one, every number and where it is from')
    .argument('[MACHINE]', 'a name, or a file (.toml, .json)')
    .option('--json', 'the same as JSON: what a file of your own looks like')
    .action(async (name: string | undefined, options: ListOptions) => done(await (await lists()).machinesCommand(name, options)));
  lab
    .command('methods')
    .description('how a guest can be run')
    .option('--json', 'the same as JSON')
    .action(async (options: ListOptions) => done((await lists()).methodsCommand(options)));

  lab
    .command('shapes')
    .description('published results beside ours, row by row, with a verdict; exit status 1 if one does not hold')
    .option('--only <LIST>', 'some of them: 1,3,5')
    .option('--accesses <N>', 'accesses of each run', '200000')
    .option('--warm-up <N>', 'accesses before those', '300000')
    .option('--footprint <SIZE>', 'of every workload, instead of its own: less time and memory')
    .option('--json', 'the same as JSON')
    .action(async (options: RawShapesOptions) => done(await (await import('./lab-shapes.ts')).shapesCommand(options)));
  lab
    .command('report')
    .description('draw results: a page for a browser (report.html), or what is asked for')
    .argument('<PATHS...>', 'folders and files of results')
    .option('--title <TEXT>', 'of the report', 'Nested paging')
    .option('--html <FILE>', 'one page, charts and results inside')
    .option('--markdown <FILE>', 'a document, its charts beside it as SVG files')
    .option('--svg <DIR>', 'the charts only')
    .option('--csv <FILE>', 'a row a result, with all counters')
    .action(async (paths: string[], options: RawReportOptions) => done((await import('./lab-report.ts')).reportCommand(paths, options)));
}
