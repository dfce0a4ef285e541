/** execve: another program in the same process. */

import { parseElf } from '../base/elf.ts';
import { E2BIG, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOEXEC, ENOMEM, EOPNOTSUPP } from '../base/errno.ts';
import { copyIn, readString } from './copy.ts';
import { loadProgram } from './exec.ts';
import { PATH_MAX } from './file-tree.ts';
import type { Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import { RegisterFile } from './registers.ts';
import { NO_RESULT } from './syscall-result.ts';
import type { SyscallArgs } from './syscall-args.ts';

const MAX_STRINGS = 4096;
const MAX_STRING_BYTES = 128 * 1024; // of all arguments and all of the environment

/**
 * execve(path, argv, envp): replaces the program by a file of the tree. Everything is checked and loaded before anything of
 * the old program goes: its memory, other lwps, guest spaces, handlers, close-on-exec descriptors.
 * @param args path: address of a string; argv, envp: addresses of 0-terminated arrays of addresses, or 0
 * @returns does not; or
 *   -ENOENT   no such file
 *   -ENOEXEC  no static RISC-V program, or it does not fit this machine
 *   -E2BIG    arguments and environment beyond 128 KiB, or 4096 strings of each
 *   -EFAULT   a string or an array is not readable
 *   -ENOMEM   no frames
 *   -ENAMETOOLONG
 *   -EOPNOTSUPP  a TypeScript program, which is no image to be replaced
 * Source: POSIX execve. The program may be 32-bit or 64-bit, whatever the caller is.
 */
export function sysExecve(p: Process, args: SyscallArgs, lwp: Lwp): number {
  if (lwp.program !== null) return -EOPNOTSUPP;
  const { kernel } = p;
  const path = readString(p, args.unsigned(0), PATH_MAX - 1);
  if (typeof path === 'number') return path === -EINVAL ? -ENAMETOOLONG : path;
  const argv = readStrings(p, args.unsigned(1));
  if (typeof argv === 'number') return argv;
  const env = readStrings(p, args.unsigned(2));
  if (typeof env === 'number') return env;
  const file = kernel.tree.find(path);
  if (file === null) return -ENOENT;
  const image = parseElf(file);
  if (typeof image === 'string') return -ENOEXEC;
  const space = kernel.createSpace(image.xlen);
  if (space === null) return -ENOMEM;
  const start = loadProgram({ space, userEnd: space.userEnd, image, file, argv, env, seed: kernel.nextSeed() });
  if ('reason' in start) {
    space.destroy();
    return -start.errno;
  }

  for (const other of p.lwps.filter((each) => each !== lwp)) kernel.life.removeLwp(other);
  p.group?.leave();
  p.group = null;
  p.files.closeMarked();
  p.actions.resetHandlers();
  p.trampoline = 0;
  p.space.destroy();
  p.space = space;
  p.xlen = image.xlen;
  p.name = argv[0] ?? path;
  p.breakStart = start.breakStart;
  p.breakEnd = start.breakStart;
  p.firstCode = null;
  lwp.tid = p.pid;
  lwp.lastGuest = null;
  lwp.alternate.size = 0;
  lwp.clearTid = 0;
  const { hart } = kernel.machine;
  const registers = new RegisterFile();
  registers.start(start.pc, start.sp);
  registers.load(hart);
  hart.activate(space.context, p.xlen);
  kernel.forgetExtended();
  return NO_RESULT;
}

/** The strings of a 0-terminated array of addresses; or -EFAULT, -E2BIG. */
function readStrings(p: Process, at: number): string[] | number {
  const strings: string[] = [];
  if (at === 0) return strings;
  const word = p.xlen / 8;
  let bytes = 0;
  for (let i = 0; i < MAX_STRINGS; i++) {
    const pointer = copyIn(p, at + i * word, word);
    if (pointer === null) return -EFAULT;
    const view = new DataView(pointer.buffer);
    const va = view.getUint32(0, true) + (word === 8 ? view.getUint32(4, true) * 2 ** 32 : 0);
    if (va === 0) return strings;
    const text = readString(p, va, MAX_STRING_BYTES - bytes);
    if (typeof text === 'number') return text === -EINVAL ? -E2BIG : text;
    bytes += text.length + 1;
    if (bytes > MAX_STRING_BYTES) return -E2BIG;
    strings.push(text);
  }
  return -E2BIG;
}
