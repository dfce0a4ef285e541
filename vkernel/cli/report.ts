/** What the command line says when it cannot do as asked. */
import { TERMINAL } from './terminal.ts';

export const EXIT_USAGE = 2;

/** One line on standard error. @returns `status`, so that a refusal is one statement */
export function complain(text: string, status: number): number {
  TERMINAL.write(2, new TextEncoder().encode(`vkernel: ${text}\n`));
  return status;
}
