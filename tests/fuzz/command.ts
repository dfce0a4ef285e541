/** The command line of `npm run fuzz -- NAME`: runs random cases against a part of the system, reproducibly. */
import { Worker } from 'node:worker_threads';
import type { Campaign, Failure, Target } from './campaign.ts';
import { FAILURES } from './failures.ts';
import { GUEST } from './guest.ts';
import { HOST } from './host.ts';
import { OWNERS } from './owners.ts';
import { PHYSMEM_ATTACK } from './physmem-attack.ts';
import { PHYSMEM_MEMORY } from './physmem-memory.ts';
import { PHYSMEM_RELATIONS } from './physmem-relations.ts';
import { PHYSMEM_STATES } from './physmem-states.ts';
import { PHYSMEM } from './physmem.ts';
import { STALE } from './stale.ts';
import { VPTE } from './vpte.ts';
import { WALKER } from './walker.ts';

const TARGETS: Readonly<Record<string, Target>> = {
  guest: GUEST,
  walker: WALKER,
  vpte: VPTE,
  host: HOST,
  stale: STALE,
  failures: FAILURES,
  owners: OWNERS,
  physmem: PHYSMEM,
  'physmem-memory': PHYSMEM_MEMORY,
  'physmem-states': PHYSMEM_STATES,
  'physmem-attack': PHYSMEM_ATTACK,
  'physmem-relations': PHYSMEM_RELATIONS,
};

const HELP = `usage: npm run fuzz -- NAME [--cases N] [--seed S] [--from K | --case K]

${Object.entries(TARGETS)
  .map(([name, { what }]) => `  ${name.padEnd(18)} ${what}`)
  .join('\n')}

  --cases N      how many cases; 1000 by default
  --seed S       of the random source; 1 by default
  --from K       the first case
  --case K       this case alone. A failure names the one to repeat
`;

const PATIENCE = 60; // seconds a case may take before it counts as hung
const REPORT_EVERY = 5; // seconds

interface Options {
  cases: number;
  seed: number;
  from: number;
}

function parse(args: readonly string[]): Options | string {
  const options = { cases: 1000, seed: 1, from: 0, case: -1 };
  for (let i = 0; i < args.length; i += 2) {
    const name = (args[i] as string).replace(/^--/, '') as keyof typeof options;
    if (!(args[i] as string).startsWith('--') || !(name in options)) return `no option '${args[i]}'`;
    const value = Number(args[i + 1]);
    if (!Number.isSafeInteger(value) || value < 0) return `${args[i]}: '${args[i + 1] ?? ''}' is no number`;
    options[name] = value;
  }
  const { cases, seed, from } = options;
  return options.case < 0 ? { cases, seed, from } : { cases: 1, seed, from: options.case };
}

/** Ends this process when the counter stands still for too long: nothing else can interrupt a loop. */
function watchdog(counter: Float64Array, name: string, seed: number): void {
  const body = `
    const { workerData: { counter, name, seed, patience } } = require('node:worker_threads');
    let last = -1, since = Date.now();
    setInterval(() => {
      if (counter[0] !== last) { last = counter[0]; since = Date.now(); return; }
      if (Date.now() - since < patience * 1000) return;
      require('node:fs').writeSync(2, 'case ' + Math.floor(last) + ' hangs: npm run fuzz -- ' + name + ' --seed ' + seed + ' --case ' + Math.floor(last) + '\\n');
      process.kill(process.pid, 'SIGKILL');
    }, 1000);`;
  new Worker(body, { eval: true, workerData: { counter, name, seed, patience: PATIENCE } }).unref();
}

/** Says at once what failed, and how to see it again. */
function describe(name: string, target: Target, { index, what, error }: Failure, { seed, from }: Options): void {
  process.stderr.write(`\ncase ${index} (${what}) fails: ${error.stack}\n`);
  process.stderr.write(`  alone: npm run fuzz -- ${name} --seed ${seed} --case ${index}\n`);
  if (target.batch === 1) return;
  const start = Math.max(from, Math.floor(index / target.batch) * target.batch);
  process.stderr.write(`  with those before: npm run fuzz -- ${name} --seed ${seed} --from ${start} --cases ${index - start + 1}\n`);
}

function duration(seconds: number): string {
  return seconds < 100 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Counts cases for the watchdog, and says now and then how far they are. */
function progressOf({ from, cases }: Options, started: number, counter: Float64Array): (index: number) => void {
  let reported = started;
  return (index) => {
    counter[0] = index;
    const now = performance.now();
    if (now - reported < REPORT_EVERY * 1000) return;
    reported = now;
    const done = Math.floor(index) - from;
    const rate = (1000 * done) / (now - started);
    const left = rate > 0 ? duration((cases - done) / rate) : 'unknown';
    process.stdout.write(`${done} of ${cases} cases, ${rate >= 10 ? Math.round(rate) : rate.toFixed(1)} a second, ${left} left\n`);
  };
}

/** Carries out a command line. @returns the exit status */
export function fuzz(argv: readonly string[]): number {
  const [name, ...rest] = argv;
  if (name === '--help' || name === '-h') {
    process.stdout.write(HELP);
    return 0;
  }
  const target = name === undefined ? undefined : TARGETS[name];
  if (name === undefined || target === undefined) {
    const names = Object.keys(TARGETS).join(', ');
    process.stderr.write(`fuzz: ${name === undefined ? 'name a target' : `no target '${name}'`}; there are: ${names}\n`);
    return 2;
  }
  const options = parse(rest);
  if (typeof options === 'string') {
    process.stderr.write(`fuzz: ${options}\n`);
    return 2;
  }
  const counter = new Float64Array(new SharedArrayBuffer(8));
  watchdog(counter, name, options.seed);
  const started = performance.now();
  const campaign: Campaign = {
    ...options,
    progress: progressOf(options, started, counter),
    failed: (failure) => describe(name, target, failure, options),
  };
  const { failures, coverage } = target.run(campaign);
  const seconds = (performance.now() - started) / 1000;
  const failed = failures.length === 0 ? '' : `, ${failures.length} failed`;
  process.stdout.write(
    `${options.cases} cases in ${duration(seconds)}, seed ${options.seed}, from ${options.from}${failed}\n${coverage}\n`,
  );
  return failures.length === 0 ? 0 : 1;
}
