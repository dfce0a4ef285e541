/** ExitStatus: how a process ended, with what is known about the fault that ended it. */

import { type Access, EXEC, WRITE } from '../base/units.ts';

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

/** By number, from 1. */
const SIGNAL_NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );

/** `SIGSEGV`, or `signal N` for one without a name. */
export function signalName(signal: number): string {
  const name = SIGNAL_NAMES[signal - 1];
  return name === undefined ? `signal ${signal}` : `SIG${name}`;
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
