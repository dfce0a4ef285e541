/** ExitStatus: how a process ended, with what is known about the fault that ended it. */

import { type Access, EXEC, WRITE } from '../base/units.ts';
import { SIGBUS, SIGILL, SIGKILL, SIGSEGV, SIGTRAP } from './abi.ts';

export type ExitStatus = Exited | Killed;

export interface Exited {
  readonly code: number; // 0..255
}

export interface Killed {
  readonly signal: number;
  readonly faultVa: number | null; // null if the trap was no access to memory
  readonly access: Access; // 0 if it was none
  readonly pc: number | null; // null for an access of a TypeScript program
  readonly refusal: string; // which step refused: one line
}

const SIGNAL_NAMES: ReadonlyMap<number, string> = new Map([
  [SIGILL, 'SIGILL'],
  [SIGTRAP, 'SIGTRAP'],
  [SIGBUS, 'SIGBUS'],
  [SIGKILL, 'SIGKILL'],
  [SIGSEGV, 'SIGSEGV'],
]);

/** `SIGSEGV`, or `signal N` for one the kernel never sends. */
export function signalName(signal: number): string {
  return SIGNAL_NAMES.get(signal) ?? `signal ${signal}`;
}

/** One line for a person: `killed by SIGSEGV: read of 0x401000 at pc 0x10120: no map entry`. */
export function describeExit(status: ExitStatus): string {
  if ('code' in status) return `exited with code ${status.code}`;
  const { faultVa, access, pc, refusal } = status;
  const kind = access === WRITE ? 'write to' : access === EXEC ? 'execution of' : 'read of';
  const where = faultVa === null ? '' : ` ${kind} 0x${faultVa.toString(16)}`;
  const at = pc === null ? '' : ` at pc 0x${pc.toString(16)}`;
  return `killed by ${signalName(status.signal)}:${where}${at}${where === '' && at === '' ? ' ' : ': '}${refusal}`;
}
