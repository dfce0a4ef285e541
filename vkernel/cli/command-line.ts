/**
 * The command line of `vkernel`, parsed and carried out; each command is a module of its own, loaded when it is wanted.
 * What node starts is main.ts.
 */
import { Command, CommanderError, Option } from 'commander';
import { DEFAULT_MEMORY, type MachineOptions, machineOptions, type RawOptions } from './options.ts';
import { labCommands } from './lab-command.ts';
import type { RawInfoOptions } from './info-command.ts';
import type { RawWalkOptions } from './walk-command.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE } from './report.ts';
import { OutputFailure, TERMINAL } from './terminal.ts';

const SIGPIPE = 13;
const encoder = new TextEncoder();

/** A reader that has gone is no news; anything else is said, unless standard error is what failed. */
function outputFailed(failure: OutputFailure): number {
  if (failure.code === 'EPIPE') return 128 + SIGPIPE;
  if (failure.fd === 2) return EXIT_FAILURE;
  try {
    return complain(failure.message, EXIT_FAILURE);
  } catch {
    return EXIT_FAILURE; // nor can that be said
  }
}

/** Options of the commands that run a guest in a vkernel. */
function guestFlags(command: Command): Command {
  return machineFlags(command)
    .option('--image <SIZE>', 'memory of the guest, 7/8 of RAM by default; more than RAM needs --host-swap')
    .option('--swap <SIZE|FILE>', 'where physmem puts what does not fit into the guest: a disk of this size, kept in memory, or a file')
    .addOption(new Option('--policy <NAME>', 'how memory is divided among those who negotiate for it: fixed or weight').default('fixed'))
    .addOption(new Option('--fault-around <PAGES>', 'resident pages the pager maps around a fault: 1, 2, 4, 8 or 16').default('16'))
    .addOption(new Option('--cluster <PAGES>', 'fresh pages the pager brings in at a fault: 1, 2, 4, 8 or 16').default('1'));
}

function machineFlags(command: Command): Command {
  return command
    .addOption(new Option('-m, --memory <SIZE>', 'RAM of the machine: 64M, 1G, ... up to 4G less 64K').default(DEFAULT_MEMORY))
    .option('--host-swap <SIZE|FILE>', 'what the host kernel pages to when RAM is short: a disk of this size, kept in memory, or a file')
    .option('--mmu <LAYOUT>', 'page tables of the hardware: a name out of `vkernel layouts`, or a file')
    .option('--vpte <LAYOUT>', 'virtual page tables: a name out of `vkernel layouts`, or a file')
    .option('--nest <N>', 'host kernels inside the host kernel, each a guest of the one before: 0 to 3', '0')
    .option('--stats', 'counters on standard error at the end')
    .option('--trace <EVENTS>', 'print events: fault,walk,map,unmap,ipc,rpc,syscall,switch; physmem for its requests in words')
    .option('--crash-dump <FILE>', 'where to write the state of the system should a kernel panic, for `vkernel info`')
    .option('--json', 'counters and events as JSON');
}

/** Runs `body` with checked options. @returns the exit status */
async function withOptions(raw: RawOptions, body: (options: MachineOptions) => Promise<number>): Promise<number> {
  const options = await machineOptions(raw);
  return typeof options === 'string' ? complain(options, EXIT_USAGE) : body(options);
}

/** `vkernel layouts ...`: everything about page-table layouts that needs no machine. */
function layoutCommands(program: Command, done: (status: number) => void): void {
  const layouts = program.command('layouts').description('page-table layouts: list, draw, check and test them');
  const command = (name: string, description: string): Command =>
    layouts.command(name).description(description).option('--json', 'the same as JSON');
  const load = async () => import('./layouts-command.ts');
  layouts.option('--json', 'the list as JSON').action(async (options: { json?: boolean }) => done((await load()).listCommand(options)));
  command('show', 'draw a layout bit by bit')
    .argument('<LAYOUT>', 'a name, or a file (.toml, .json)')
    .action(async (name: string, _: object, self: Command) => done(await (await load()).showCommand(name, self.optsWithGlobals())));
  command('check', 'say what is wrong with a layout file')
    .argument('<FILE>', 'a description, TOML or JSON')
    .action(async (path: string, _: object, self: Command) => done(await (await load()).checkCommand(path, self.optsWithGlobals())));
  command('test', 'run test vectors through both walkers')
    .argument('<LAYOUT>', 'a name, or a file')
    .requiredOption('--vectors <FILE>', 'the vectors: JSON, as `layouts vectors` makes them')
    .action(async (name: string, _: object, self: Command) =>
      done(await (await import('./layouts-test.ts')).testCommand(name, self.optsWithGlobals())),
    );
  layouts
    .command('vectors')
    .description('make test vectors: what the reference walk says of tables made from a seed')
    .argument('<LAYOUT>', 'a name, or a file')
    .option('--seed <SEED>', 'the same seed makes the same file', '1')
    .option('--count <N>', 'how many; without it, enough to aim at every class, option and access')
    .action(async (name: string, options: { seed: string; count?: string }) =>
      done(await (await import('./layouts-test.ts')).vectorsCommand(name, options)),
    );
}

/** `vkernel walk`: an address through page tables, step by step. */
function walkCommandOf(program: Command, done: (status: number) => void): void {
  program
    .command('walk')
    .description('walk page tables for an address and show every entry: those of a dump, or of a guest (--run)')
    .requiredOption('--va <ADDRESS>', 'the address')
    .option('--access <KIND>', 'r, w or x', 'r')
    .option('--mode <MODE>', 'user or super', 'user')
    .option('--layout <LAYOUT>', 'of the tables: a name, or a file')
    .option('--stage2 <LAYOUT>', 'of the second stage, through which the addresses of the first go')
    .option('--root <NUMBER>', 'the root register')
    .option('--root2 <NUMBER>', 'the root of the second stage; or of addresses with ones on top, where a layout has two roots')
    .option('--option <NAME=VALUE>', 'set an option of the layout; may be repeated', (one: string, all: string[]) => [...all, one], [])
    .option('--dump <FILE>', 'the tables: JSON [[address, entry], ...], or raw memory with --base')
    .option('--base <ADDRESS>', 'where the first byte of a raw dump lies')
    .option('--run <PROGRAM>', 'walk the tables of this program at its end, the vkernel’s and the host’s; arguments follow')
    .option('--at <INSTRUCTIONS>', 'with --run: not at its end, but after so many instructions')
    .option('--mmu <LAYOUT>', 'with --run: page tables of the hardware')
    .option('--vpte <LAYOUT>', 'with --run: virtual page tables')
    .addOption(new Option('-m, --memory <SIZE>', 'with --run: RAM of the machine').default(DEFAULT_MEMORY))
    .option('--json', 'the same as JSON')
    .argument('[ARGS...]', 'arguments of the program')
    .passThroughOptions()
    .action(async (args: string[], raw: RawWalkOptions & RawOptions) => {
      const { mmu, vpte, memory } = raw;
      const machine = {
        ...(mmu === undefined ? {} : { mmu }),
        ...(vpte === undefined ? {} : { vpte }),
        ...(memory === undefined ? {} : { memory }),
      };
      done(await withOptions(machine, async (options) => (await import('./walk-command.ts')).walkCommand(args, raw, options)));
    });
}

/** `vkernel info SERVER`: the state of a server of the guest. */
function infoCommands(program: Command, done: (status: number) => void): void {
  const info = program.command('info').description('show the state of a server: of a run (--run), or of a crash dump (--dump)');
  guestFlags(info.command('physmem').description('memory controls, containers, frames, sharing, free memory and counters of physmem'))
    .option('--run <PROGRAM>', 'look at the end of this program, while it still has its memory; arguments follow')
    .option('--at <INSTRUCTIONS>', 'with --run: not at its end, but after so many instructions')
    .option('--dump <FILE>', 'look into a file that --crash-dump has written')
    .option('--root <DIR>', 'with --run: directory the program sees as its file system')
    .argument('[ARGS...]', 'arguments of the program')
    .passThroughOptions()
    .action(async (args: string[], raw: RawInfoOptions & RawOptions) =>
      done(await withOptions(raw, async (options) => (await import('./info-command.ts')).infoPhysmem(args, raw, options))),
    );
}

/** Values of an option that may be repeated. */
function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Carries out a command line. @param argv what follows the command's name @returns the exit status */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let status = 0;
  const program = new Command('vkernel')
    .description('Boots the Hurd memory stack in a virtual kernel, on a host kernel and a RISC-V machine of its own.')
    .version('0.1.0')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => TERMINAL.write(1, encoder.encode(text)),
      writeErr: (text) => TERMINAL.write(2, encoder.encode(text)),
      outputError: (text, write) => write(text.replace(/^error: /, 'vkernel: ')),
    });

  guestFlags(program.command('demo').description('boot, run a demonstration program, show what happened')).action(
    async (raw: RawOptions) => {
      status = await withOptions(raw, async (options) => (await import('./demo.ts')).demoCommand(options));
    },
  );

  guestFlags(program.command('run').description('run a static riscv64 or riscv32 Linux program as a guest process'))
    .option('--root <DIR>', 'directory the program sees as its file system; read only, changes stay in memory')
    .argument('<PROGRAM>', 'the program: a path inside --root, or of this machine without it')
    .argument('[ARGS...]', 'its arguments')
    .passThroughOptions()
    .action(async (path: string, args: string[], raw: RawOptions) => {
      status = await withOptions(raw, async (options) => (await import('./run.ts')).runCommand(path, args, options));
    });

  machineFlags(program.command('host').description('run a static RISC-V program directly on the host kernel'))
    .option('--harts <N>', 'processors of the machine, 1 to 4', '1')
    .option('--delegate', 'with --nest: a vkernel and its guests trap to each other, not to every kernel on the way')
    .option('--file <PATH=LOCAL>', 'a file the program can open and execute; itself is one. May be repeated', collect, [])
    .option('--sysctl <NAME=VALUE>', 'vm.vkernel_enable=0: no virtual page tables. May be repeated', collect, [])
    .argument('<PROGRAM>', 'the program, a path of this machine')
    .argument('[ARGS...]', 'its arguments')
    .passThroughOptions()
    .action(async (path: string, args: string[], raw: RawOptions) => {
      status = await withOptions(raw, async (options) => (await import('./host.ts')).hostCommand(path, args, options));
    });

  walkCommandOf(program, (result) => {
    status = result;
  });
  infoCommands(program, (result) => {
    status = result;
  });
  labCommands(program, (result) => {
    status = result;
  });
  layoutCommands(program, (result) => {
    status = result;
  });

  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (error instanceof OutputFailure) return outputFailed(error);
    throw error;
  }
  return status;
}
