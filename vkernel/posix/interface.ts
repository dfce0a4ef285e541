/**
 * What the creator of a Linux process gives it and gets back. The process itself is `server.ts`.
 *
 * The creator makes a space with a hart thread and a TypeScript thread, both with the task's own pager, and gives the
 * TypeScript thread the body of `posixBody`. That thread loads the program, becomes the hart thread's exception handler
 * and starts it. A page fault that the pager refuses (reply label = errno) comes as the kernel's exception message with
 * cause 12, 13 or 15: that is where SIGSEGV and SIGBUS begin.
 */
import type { Tracer } from '../../hostkernel/base/trace.ts';
import type { TaskMemory } from '../../userland/libhurd-mm/interface.ts';
import type { L4, L4Program, L4Wait, ThreadId } from '../l4/user.ts';
import type { Place, Process } from './process.ts';
import type { Streams } from './vfs/devices.ts';
import type { FileSystem } from './vfs/filesystem.ts';
import type { FileProvider } from './vfs/provider.ts';

/** How a program ended. */
export type ProcessExit =
  | { readonly kind: 'exit'; readonly code: number } // 0 to 255
  | {
      readonly kind: 'signal';
      readonly signal: number;
      /** One line for a person: `SIGSEGV: read at 0x10, pc 0x101a4: no mapping`. */
      readonly text: string;
      /** Of a fault: where and by what; null for a signal that was sent. */
      readonly fault: { readonly address: number; readonly pc: number; readonly cause: number } | null;
    }
  | { readonly kind: 'refused'; readonly refusal: ExecRefusal };

/** Why a program cannot be run. */
export interface ExecRefusal {
  readonly errno: number; // positive
  readonly text: string; // one line, with the program's name
  /** What a shell would exit with: 127 not found, 126 found but not run. */
  readonly status: 126 | 127;
}

/** How a system-call thread begins. @returns whether the hart waits for an answer, with its registers as they are to be */
export type Beginning = (p: Process, place: Place) => Generator<L4Wait, boolean, void>;

/** The program of a system-call thread that answers for `p` to begin with. */
export type PlaceProgram = (p: Process, place: Place, begin: Beginning) => (l4: L4) => L4Program;

/** What a new task's system-call thread runs. */
export type PlaceBody = (place: Place) => (l4: L4) => L4Program;

/** Who makes and destroys the tasks of further processes, as their system-call threads see it. */
export interface ProcessServer {
  /** A task whose memory is a logical copy of the caller's. @returns 0, -ENOMEM or -EAGAIN */
  fork(l4: L4, body: PlaceBody): Generator<L4Wait, number>;
  /** A task without memory. @returns 0, -ENOMEM or -EAGAIN */
  spawn(l4: L4, body: PlaceBody): Generator<L4Wait, number>;
  /** The caller's task goes with everything it has, then the process is buried. */
  end(l4: L4, process: Process): Generator<L4Wait, void>;
}

export interface ProcessOptions {
  /** The thread that runs the program, and the pager both threads have. */
  readonly hart: ThreadId;
  readonly pager: ThreadId;
  /** The task's memory manager, for use by the thread that runs the system calls. */
  readonly memory: (l4: L4) => TaskMemory;
  /** How many processes may live at a time; absent: any number. */
  readonly processesMax?: number;
  /** Absent: there will be no other process. */
  readonly server?: ProcessServer;
  readonly tracer: Tracer;
  /** Path of the program inside the file system. Text in all of these is Unicode; the program sees UTF-8. */
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** A directory beneath the overlay; null: an empty file system. */
  readonly provider: FileProvider | null;
  /** Files put into the overlay before the start: a program from outside the root. */
  readonly files?: readonly { readonly path: string; readonly mode: number; readonly bytes: Uint8Array }[];
  readonly workingDirectory?: string; // default `/`
  /** Where descriptors 0, 1 and 2 lead, as the thread that runs the system calls sees it. */
  readonly streams: (l4: L4) => Streams;
  /** Seconds since 1970 at virtual time 0. Default 2026-01-01. */
  readonly epoch?: number;
  /** Bytes of memory the machine has, for sysinfo and /proc/meminfo. */
  readonly memoryBytes?: () => { readonly total: number; readonly free: number };
  readonly pid?: number; // default 2
  readonly seed?: number; // of /dev/urandom, getrandom and AT_RANDOM
  /** The last act of the thread that runs the system calls: the process has ended, or could not begin. */
  readonly onExit: (exit: ProcessExit, l4: L4, files: FileSystem) => Generator<L4Wait, void, void>;
  /** One line about something a user may want to know: an unknown system call, once each. */
  readonly report: (line: string) => void;
}

/** Exit status of a command that ended so, as a shell counts it. */
export function exitStatus(exit: ProcessExit): number {
  if (exit.kind === 'exit') return exit.code;
  return exit.kind === 'signal' ? 128 + exit.signal : exit.refusal.status;
}
