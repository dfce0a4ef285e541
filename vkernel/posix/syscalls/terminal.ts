/**
 * Whose the terminal is: the session that controls it, and the process group in its foreground.
 *
 * There is one terminal, the console, and it never makes anybody wait. Of job control it needs that a background process
 * that reads it, or changes its state, is stopped.
 * Source: tty_ioctl(4), "Job control" of POSIX.1-2017 (11.1.4).
 */
import { EIO, ENOTTY, EPERM } from '../../../hostkernel/base/errno.ts';
import { ERESTARTSYS, SI_KERNEL, SIGTTIN, SIGTTOU, TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP } from '../abi.ts';
import type { Process } from '../process.ts';
import type { Waiting } from './files.ts';

/** Whether the terminal controls the process' session, and the process is not in its foreground. */
function isBackground(p: Process): boolean {
  const { session, foreground } = p.system.terminal;
  return session === p.session && foreground !== p.processGroup;
}

/** Stops the caller's group. @returns -ERESTARTSYS: the call is made again when it goes on */
function stopGroup(p: Process, signal: number): number {
  for (const one of p.system.group(p.processGroup)) p.system.signal(one, { signal, code: SI_KERNEL, address: null, pid: 0, value: null });
  return -ERESTARTSYS;
}

/** @returns 0; -EIO where the signal would have no effect; -ERESTARTSYS: it has been sent */
export function mayReadTerminal(p: Process): number {
  if (!isBackground(p)) return 0;
  if (p.signals.isBlocked(SIGTTIN) || p.signals.isIgnored(SIGTTIN) || p.system.isOrphaned(p.processGroup)) return -EIO;
  return stopGroup(p, SIGTTIN);
}

/** @returns 0, also where SIGTTOU is blocked or ignored; -EIO in an orphaned group; -ERESTARTSYS: the signal has been sent */
export function mayChangeTerminal(p: Process): number {
  if (!isBackground(p) || p.signals.isBlocked(SIGTTOU) || p.signals.isIgnored(SIGTTOU)) return 0;
  return p.system.isOrphaned(p.processGroup) ? -EIO : stopGroup(p, SIGTTOU);
}

/** ioctl of a terminal about sessions and groups. @returns -ENOTTY for every other request, and where it is not the caller's */
export function* controlTerminal(p: Process, request: number, argument: number): Waiting {
  const { terminal } = p.system;
  const { view } = p.memory;
  if (request === TIOCSCTTY) {
    if (terminal.session === p.session) return 0;
    if (p.session !== p.pid || terminal.session !== 0) return -EPERM;
    terminal.session = p.session;
    terminal.foreground = p.processGroup;
    return 0;
  }
  if (terminal.session !== p.session) return -ENOTTY;
  switch (request) {
    case TIOCGPGRP:
    case TIOCGSID:
      view.setInt32(0, request === TIOCGSID ? terminal.session : terminal.foreground, true);
      return yield* p.memory.store(argument, 4);
    case TIOCSPGRP: {
      const error = yield* p.memory.load(argument, 4);
      if (error < 0) return error;
      const group = view.getInt32(0, true);
      const refused = mayChangeTerminal(p);
      if (refused < 0) return refused;
      const members = p.system.group(group);
      if (!members.some(({ session }) => session === p.session)) return -EPERM;
      terminal.foreground = group;
      return 0;
    }
    case TIOCNOTTY:
      if (p.session === p.pid) p.system.hangUp();
      return 0;
    default:
      return -ENOTTY;
  }
}
