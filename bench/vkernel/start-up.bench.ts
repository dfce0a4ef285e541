/**
 * How long does a user wait for `vkernel run` of a program that says hello? Node alone is the part that is not ours.
 *
 * Measures the built command (`npm run build`) as the shell would start it, by the clock on the wall. Counters, as the
 * command itself tells them, come first: they repeat exactly.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { summary } from '../cpu-time.ts';
import { type Counters, type Files, Suite } from '../suite.ts';

const ROUNDS = 15;
const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const COMMAND = path('dist/vkernel/cli/main.js');

/** Starts node and waits for its end. @returns ms */
function start(...args: string[]): number {
  const before = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${args.join(' ')}: status ${status}`);
  return performance.now() - before;
}

/** What the whole run counts, from power on to the end. */
function countersOf(program: string): Counters {
  const { status, stderr } = spawnSync(process.execPath, [COMMAND, 'run', '--stats', '--json', program], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stderr) as Counters;
}

export function run(): Files {
  const suite = new Suite('start-up');
  if (!existsSync(COMMAND)) throw new Error(`${COMMAND} is missing: npm run build`);
  const program = path('userland/programs/elf/hello-rv64');
  const counters = countersOf(program);
  suite.counts('vkernel run hello-rv64', counters);
  console.log(
    `  vkernel run hello-rv64: ${counters['instructions']} instructions, ${counters['hostFaults']} faults of the host, ${counters['ipcs']} messages`,
  );
  const node: number[] = [];
  const hello: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    node.push(start('-e', '0'));
    hello.push(start(COMMAND, 'run', program));
  }
  suite.times('node alone', node);
  suite.times('vkernel run hello-rv64', hello);
  const alone = summary(node);
  const ours = summary(hello);
  console.log(`  node alone: ${alone.median.toFixed(0)} ms (median of ${ROUNDS}; best ${alone.best.toFixed(0)})`);
  console.log(`  vkernel run hello-rv64: ${ours.median.toFixed(0)} ms (best ${ours.best.toFixed(0)})`);
  return suite.files();
}
