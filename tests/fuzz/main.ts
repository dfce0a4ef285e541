/** The command `npm run fuzz -- NAME`: runs random cases against a part of the system, reproducibly. */
import { Worker } from 'node:worker_threads';
import { BATCH, Coverage, type Failure, fuzzGuest } from './guest.ts';

const TARGETS = ['guest'];

const HELP = `usage: npm run fuzz -- NAME [--cases N] [--seed S] [--from INDEX]

  guest          hostile programs under the whole stack: noise, instruction soup, system calls, damaged ELF files

  --cases N      how many cases; 1000 by default
  --seed S       of the random source; 1 by default
  --from INDEX   the first case. A failure names the one to start from
`;

const PATIENCE = 60; // seconds a case may take before it counts as hung

interface Options {
  cases: number;
  seed: number;
  from: number;
}

function parse(args: readonly string[]): Options | string {
  const options: Options = { cases: 1000, seed: 1, from: 0 };
  for (let i = 0; i < args.length; i += 2) {
    const name = (args[i] as string).replace(/^--/, '') as keyof Options;
    if (!(args[i] as string).startsWith('--') || !(name in options)) return `no option '${args[i]}'`;
    const value = Number(args[i + 1]);
    if (!Number.isSafeInteger(value) || value < 0) return `${args[i]}: '${args[i + 1] ?? ''}' is no number`;
    options[name] = value;
  }
  return options;
}

/** Ends this process when the counter stands still for too long: nothing else can interrupt a loop. */
function watchdog(counter: Int32Array, seed: number): Worker {
  const body = `
    const { workerData: { counter, seed, patience } } = require('node:worker_threads');
    let last = -1, since = Date.now();
    setInterval(() => {
      if (counter[0] !== last) { last = counter[0]; since = Date.now(); return; }
      if (Date.now() - since < patience * 1000) return;
      require('node:fs').writeSync(2, 'case ' + last + ' hangs: npm run fuzz -- guest --seed ' + seed + ' --from ' + last + ' --cases 1\\n');
      process.kill(process.pid, 'SIGKILL');
    }, 1000);`;
  const worker = new Worker(body, { eval: true, workerData: { counter, seed, patience: PATIENCE } });
  worker.unref();
  return worker;
}

/** Says at once what failed, and how to see it again. */
function describe({ index, kind, machine, error }: Failure, seed: number, from: number): void {
  const start = Math.max(from, Math.floor(index / BATCH) * BATCH);
  process.stderr.write(`\ncase ${index} (${kind}, ${machine}) fails: ${error.stack}\n`);
  process.stderr.write(`  alone: npm run fuzz -- guest --seed ${seed} --from ${index} --cases 1\n`);
  process.stderr.write(`  with those before: npm run fuzz -- guest --seed ${seed} --from ${start} --cases ${index - start + 1}\n`);
}

function main(argv: readonly string[]): number {
  const [name, ...rest] = argv;
  if (name === '--help' || name === '-h') {
    process.stdout.write(HELP);
    return 0;
  }
  if (name === undefined || !TARGETS.includes(name)) {
    process.stderr.write(`fuzz: ${name === undefined ? 'name a target' : `no target '${name}'`}; there are: ${TARGETS.join(', ')}\n`);
    return 2;
  }
  const options = parse(rest);
  if (typeof options === 'string') {
    process.stderr.write(`fuzz: ${options}\n`);
    return 2;
  }
  const { cases, seed, from } = options;
  const counter = new Int32Array(new SharedArrayBuffer(4));
  watchdog(counter, seed);
  const coverage = new Coverage();
  const started = performance.now();
  let slowest = { index: -1, milliseconds: 0 };
  let last = { index: -1, at: started };
  const progress = (index: number): void => {
    const now = performance.now();
    if (last.index >= 0 && index % BATCH !== 0 && now - last.at > slowest.milliseconds)
      slowest = { index: last.index, milliseconds: now - last.at };
    last = { index, at: now };
    Atomics.store(counter, 0, index);
    const done = index - from;
    if (done > 0 && done % 2500 === 0) process.stdout.write(`${done} cases, ${Math.round((1000 * done) / (now - started))} a second\n`);
  };
  const failures = fuzzGuest({ seed, from, cases, coverage, progress, failed: (failure) => describe(failure, seed, from) });
  const seconds = (performance.now() - started) / 1000;
  process.stdout.write(
    `${cases} cases in ${seconds.toFixed(1)} s; slowest: ${slowest.index}, ${slowest.milliseconds.toFixed(0)} ms\n${coverage.text()}\n`,
  );
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
