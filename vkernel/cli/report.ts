/** What the command line says when it cannot do as asked, and its table of counters. */
import type { StackStats } from '../index.ts';
import { TERMINAL } from './terminal.ts';

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
/** A kernel panicked: EX_SOFTWARE of sysexits. */
export const EXIT_CRASH = 70;

const encoder = new TextEncoder();

/** One line on standard error. @returns `status`, so that a refusal is one statement */
export function complain(text: string, status: number): number {
  TERMINAL.write(2, encoder.encode(`vkernel: ${text}\n`));
  return status;
}

/** Lines on standard output. */
export function print(text: string): void {
  TERMINAL.write(1, encoder.encode(`${text}\n`));
}

const ROWS: readonly (readonly [name: keyof StackStats, text: string])[] = [
  ['instructions', 'instructions retired by the guest'],
  ['virtualMicroseconds', 'virtual time, µs'],
  ['tlbMisses', 'TLB misses (hardware walks)'],
  ['tlbWalkReferences', '  page-table entries they read'],
  ['hostFaults', 'page faults taken by the host kernel'],
  ['vpteWalks', '  walks of virtual page tables'],
  ['vpteReferences', '  virtual page-table entries read'],
  ['zeroFills', '  frames filled with zeros'],
  ['pagesOut', '  pages it wrote to its disk'],
  ['pagesIn', '  pages it read back'],
  ['hostSyscalls', 'system calls of the vkernel to its host'],
  ['guestSyscalls', 'system calls of the guest'],
  ['guestFaults', 'page faults the guest kernel passed to pagers'],
  ['ipcs', 'messages delivered'],
  ['maps', 'pages mapped'],
  ['unmaps', 'pages unmapped'],
  ['invalidations', 'invalidations asked of the host'],
  ['swapPages', 'pages of swap space'],
  ['swappedOut', '  pages physmem wrote to it'],
  ['swappedIn', '  pages physmem read back'],
  ['framesReceived', 'frames owned by physmem'],
  ['framesHeld', 'frames the guest held at its end'],
  ['framesReturned', 'frames it returned'],
  ['hostFramesLost', 'frames of RAM not free again'],
];

/** The counters as aligned lines. */
export function statsTable(stats: StackStats): string {
  const values = ROWS.map(([name]) => stats[name].toLocaleString('en'));
  const width = Math.max(...values.map((value) => value.length));
  return ROWS.map(([, text], i) => `  ${(values[i] as string).padStart(width)}  ${text}`).join('\n');
}

/** The counters on standard error: a table, or one line of JSON. */
export function printStats(stats: StackStats, json: boolean): void {
  TERMINAL.write(2, encoder.encode(`${json ? JSON.stringify(stats) : statsTable(stats)}\n`));
}
