/** `vkernel demo`: the boot as a log a newcomer can follow, a guest program, and what it cost. */
import { Tracer } from '../../hostkernel/base/trace.ts';
import type { StackProbe } from '../index.ts';
import { guarded } from './crash.ts';
import { chooseFormats } from './layouts.ts';
import { bootNested } from './nested.ts';
import { createMachine, type MachineOptions } from './options.ts';
import { complain, EXIT_CRASH, EXIT_FAILURE, EXIT_USAGE, print, printStats, statsTable } from './report.ts';
import { packagedProgram, shellStatus } from './run.ts';
import { showSize } from './size.ts';
import { listen } from './trace.ts';

const NODES = '5000';

/** Boots, runs the demonstration program, accounts for every frame. @returns the exit status */
export function demoCommand(options: MachineOptions): number {
  const narrow = [options.mmu, options.vpte].some((layout) => layout !== undefined && layout.va.bits <= 32);
  const xlen = narrow ? 32 : 64;
  const formats = chooseFormats(xlen, options.mmu, options.vpte, 'guest');
  if (typeof formats === 'string') return complain(formats, EXIT_USAGE);
  const machine = createMachine(options);
  if (typeof machine === 'string') return complain(machine, EXIT_USAGE);
  const tracer = new Tracer();
  listen(tracer, options);
  const name = `sorter-rv${xlen}`;
  print(`machine   one rv${xlen} hart, ${showSize(options.memory)} of RAM`);
  const probe: StackProbe = { physmem: null };
  const result = guarded({ machine, probe, file: options.crashDump }, () =>
    bootNested(options.nest, {
      machine,
      xlen,
      ...formats,
      tracer,
      probe,
      verify: true,
      faultAround: options.faultAround,
      cluster: options.cluster,
      ...(options.image === null ? {} : { imageBytes: options.image }),
      ...(options.swap === null ? {} : { swap: options.swap }),
      policy: options.policy,
      log: (who, text) => print(`${who.padEnd(9)} ${text}`),
      process: {
        program: `/bin/${name}`,
        argv: [name, NODES],
        env: [],
        provider: null,
        files: [{ path: `/bin/${name}`, mode: 0o755, bytes: packagedProgram(name) }],
        report: (line) => print(`posix     ${line}`),
      },
    }),
  );
  if (result === EXIT_CRASH) return result;
  const status = shellStatus(name, result);
  print('\nWhat it took:');
  print(statsTable(result.stats));
  if (options.stats) printStats(result.stats, options.json);
  const { framesHeld, framesReturned, hostFramesLost } = result.stats;
  const accounted = result.report !== null && framesHeld === framesReturned && hostFramesLost === 0;
  print(accounted ? '\nEvery frame is accounted for.' : '\nFrames are missing.');
  return status === 0 && !accounted ? EXIT_FAILURE : status;
}
