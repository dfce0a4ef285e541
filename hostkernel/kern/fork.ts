/**
 * fork: a process that begins as a copy of its caller.
 *
 *   memory       as each map entry's inheritance says: vm/fork.ts
 *   descriptors  the same open files
 *   vmspaces     the same group: ids and spaces are shared
 *   signals      the same actions and mask; nothing pending, no timers
 *   lwps         one, the caller's: sys-thread.ts fills its registers
 */

import type { HostKernel } from './kernel.ts';
import type { Lwp } from './lwp.ts';

/** @returns the only lwp of a child of `parent`'s process, in no queue yet; null: no memory, and nothing has changed */
export function fork(kernel: HostKernel, parent: Lwp, exitSignal: number): Lwp | null {
  const { process } = parent;
  const space = process.space.fork();
  if (space === null) return null;
  const { name, xlen } = process;
  const child = kernel.life.enroll({ name, xlen, space, files: process.files.fork(), parent: process });
  child.exitSignal = exitSignal;
  child.breakStart = process.breakStart;
  child.breakEnd = process.breakEnd;
  child.group = process.group?.join() ?? null;
  child.actions.copy(process.actions);
  child.trampoline = process.trampoline;
  return kernel.life.addLwp(child, null);
}
