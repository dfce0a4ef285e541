/** `vkernel host PROGRAM`: a program directly on the host kernel, without a vkernel. */
import { describeExit, type ExitStatus, HostKernel } from '../../hostkernel/kern/index.ts';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { guarded } from './crash.ts';
import { chooseFormats } from './layouts.ts';
import { createMachine, type MachineOptions } from './options.ts';
import { readProgram } from './program-file.ts';
import { complain, EXIT_CRASH, EXIT_USAGE } from './report.ts';
import { TERMINAL } from './terminal.ts';
import { listen } from './trace.ts';

/** Runs the program to its end. @returns the exit status for the shell */
export function hostCommand(path: string, args: readonly string[], options: MachineOptions): number {
  const program = readProgram(path);
  if ('text' in program) return complain(program.text, program.status);
  const formats = chooseFormats(program.image.xlen, options.mmu, options.vpte, 'host');
  if (typeof formats === 'string') return complain(formats, EXIT_USAGE);
  const machine = createMachine(options);
  if (typeof machine === 'string') return complain(machine, EXIT_USAGE);
  const tracer = new Tracer();
  listen(tracer, options);
  const kernel = new HostKernel({ machine, tracer, ...formats });
  const process = kernel.spawnElf(program.bytes, [path, ...args], []);
  if ('reason' in process) return complain(`${path}: ${process.reason}`, 126);
  const ended = guarded(machine, () => {
    kernel.run();
    return process;
  });
  if (ended === EXIT_CRASH) return ended;
  if (options.stats) {
    const { counters, vm } = kernel;
    const rows = {
      instructions: machine.hart.retired,
      systemCalls: counters.syscalls,
      hostFaults: vm.counters.faults,
      vpteWalks: vm.counters.walks,
      vpteReferences: vm.counters.walkReferences,
      framesFree: vm.freeFrames,
      framesTotal: vm.totalFrames,
    };
    TERMINAL.write(2, new TextEncoder().encode(`${JSON.stringify(rows, null, options.json ? 0 : 2)}\n`));
  }
  return shellStatus(path, process.exitStatus as ExitStatus);
}

/** The exit status a shell would give; a death is explained in one line. */
function shellStatus(path: string, status: ExitStatus): number {
  if ('code' in status) return status.code;
  return complain(`${path}: ${describeExit(status)}`, 128 + status.signal);
}
