/** `vkernel host PROGRAM`: a program directly on the host kernel, without a vkernel. */
import { describeExit, type ExecRefusal, type ExitStatus, HostKernel, type Process } from '../../hostkernel/kern/index.ts';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { errnoText } from '../../hostkernel/base/errno.ts';
import { readHostFile } from '../posix/node/provider.ts';
import { guarded } from './crash.ts';
import { nest } from '../nest/index.ts';
import { chooseFormats, nestingFormat } from './layouts.ts';
import { createMachine, type MachineOptions } from './options.ts';
import { readProgram } from './program-file.ts';
import { complain, EXIT_CRASH, EXIT_FAILURE, EXIT_USAGE } from './report.ts';
import { TERMINAL } from './terminal.ts';
import { listen } from './trace.ts';

/** Runs the program to its end. @returns the exit status for the shell */
export function hostCommand(path: string, args: readonly string[], options: MachineOptions): number {
  const program = readProgram(path);
  if ('text' in program) return complain(program.text, program.status);
  const files = new Map([[path, program.bytes]]);
  for (const file of options.files) {
    const bytes = readHostFile(file.local);
    if (typeof bytes === 'number') return complain(`--file: ${file.local}: ${errnoText(-bytes)}`, EXIT_USAGE);
    files.set(file.path, bytes);
  }
  const formats = chooseFormats(program.image.xlen, options.mmu, options.vpte, 'host');
  if (typeof formats === 'string') return complain(formats, EXIT_USAGE);
  const machine = createMachine(options);
  if (typeof machine === 'string') return complain(machine, EXIT_USAGE);
  const tracer = new Tracer();
  listen(tracer, options);
  const { xlen } = program.image;
  const between = nestingFormat(xlen);
  const isNested = options.nest > 0;
  const outer = new HostKernel({
    machine,
    tracer: isNested ? new Tracer() : tracer,
    ...formats,
    ...(isNested ? { vpte64: between, vpte32: between } : {}),
  });
  const kernels: HostKernel[] = [];
  let process: Process | ExecRefusal | null = null;
  const start = (kernel: HostKernel): void => {
    for (const [name, bytes] of files) kernel.tree.add(name, bytes);
    kernel.vm.vkernelEnable = options.vkernelEnable;
    process = kernel.spawnElf(program.bytes, [path, ...args], []);
  };
  if (isNested) {
    const vpte = xlen === 64 ? formats.vpte64 : formats.vpte32;
    const { nest: depth, delegate: delegates } = options;
    nest(outer, { xlen, depth, between, vpte, delegates, tracer, visit: (kernel) => void kernels.push(kernel), start });
  } else {
    kernels.push(outer);
    start(outer);
  }
  const run = guarded(
    { machine, probe: { physmem: null }, file: options.crashDump },
    (): { readonly started: Process | ExecRefusal | null } => {
      outer.run();
      return { started: process };
    },
  );
  if (run === EXIT_CRASH) return run;
  const ended = run.started;
  if (ended === null) return complain(`--nest: kernel ${kernels.length} does not come up: too little memory`, EXIT_FAILURE);
  if ('reason' in ended) return complain(`${path}: ${ended.reason}`, 126);
  if (options.stats) {
    const { counters, vm } = kernels.at(-1) as HostKernel;
    const rows = {
      instructions: machine.hart.retired,
      ...(isNested ? { entriesByDepth: kernels.map((kernel) => kernel.counters.entries) } : {}),
      systemCalls: counters.syscalls,
      hostFaults: vm.counters.faults,
      vpteWalks: vm.counters.walks,
      vpteReferences: vm.counters.walkReferences,
      framesFree: vm.freeFrames,
      framesTotal: vm.totalFrames,
    };
    TERMINAL.write(2, new TextEncoder().encode(`${JSON.stringify(rows, null, options.json ? 0 : 2)}\n`));
  }
  return shellStatus(path, ended.exitStatus as ExitStatus);
}

/** The exit status a shell would give; a death is explained in one line. */
function shellStatus(path: string, status: ExitStatus): number {
  if ('code' in status) return status.code;
  return complain(`${path}: ${describeExit(status)}`, 128 + status.signal);
}
