/**
 * Resource limits. All are remembered and inherited; in force are the numbers of descriptors and processes, and the stack
 * for programs started later.
 *
 * Source: getrlimit(2), prlimit(2).
 */
import { EINVAL, EPERM, ESRCH } from '../../../hostkernel/base/errno.ts';
import { RLIM_NLIMITS, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK } from '../abi.ts';
import { DESCRIPTORS_MAX } from '../file-table.ts';
import { putInt64 } from '../guest-memory.ts';
import type { Process } from '../process.ts';
import { PROCESSES_MAX } from '../system.ts';
import type { Waiting } from './files.ts';

/** A soft and a hard limit. INFINITE is above every number. */
export interface Limit {
  readonly soft: number;
  readonly hard: number;
}

const INFINITE = -1; // RLIM_INFINITY: all ones, as an integer that is stored whole

const STACK_MIN = 64 * 1024; // bytes: a program starts with no less, whatever it asked for
const STACK_MAX = 64 * 2 ** 20;

/** What a limit is until it is set. */
function initial(p: Process, resource: number): Limit {
  switch (resource) {
    case RLIMIT_STACK:
      return { soft: p.stackLimit, hard: INFINITE };
    case 4: // RLIMIT_CORE
      return { soft: 0, hard: INFINITE };
    case RLIMIT_NPROC:
      return { soft: PROCESSES_MAX, hard: PROCESSES_MAX };
    case RLIMIT_NOFILE:
      return { soft: p.files.limit, hard: DESCRIPTORS_MAX };
    case 8: // RLIMIT_MEMLOCK
      return { soft: 8 * 2 ** 20, hard: 8 * 2 ** 20 };
    case 12: // RLIMIT_MSGQUEUE
      return { soft: 819200, hard: 819200 };
    case 13: // RLIMIT_NICE
    case 14: // RLIMIT_RTPRIO
      return { soft: 0, hard: 0 };
    default:
      return { soft: INFINITE, hard: INFINITE };
  }
}

function isAbove(one: number, other: number): boolean {
  return other !== INFINITE && (one === INFINITE || one > other);
}

/** Sets a limit; user 0 may raise a hard one. @returns 0, -EINVAL the soft one is above, -EPERM more than the system has */
function setLimit(p: Process, resource: number, limit: Limit): number {
  if (isAbove(limit.soft, limit.hard)) return -EINVAL;
  if (resource === RLIMIT_NOFILE) {
    if (isAbove(limit.hard, DESCRIPTORS_MAX)) return -EPERM;
    p.files.limit = limit.soft;
  }
  if (resource === RLIMIT_STACK && limit.soft === INFINITE) p.stackLimit = STACK_MAX;
  else if (resource === RLIMIT_STACK) p.stackLimit = Math.min(Math.max(STACK_MIN, Math.floor(limit.soft / 4096) * 4096), STACK_MAX);
  p.limits.set(resource, limit);
  return 0;
}

/** A limit as a program writes it: what is not a safe number is INFINITE. */
function bounded(value: number): number {
  return value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : INFINITE;
}

/** prlimit64(pid, resource, new, old): 64-bit values. */
export function* sysPrlimit64(p: Process): Waiting {
  const pid = p.args.int(0);
  const resource = p.args.uint(1);
  const of = pid === 0 ? p : p.system.find(pid);
  if (of === null) return -ESRCH;
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const old = of.limits.get(resource) ?? initial(of, resource);
  let wanted: Limit | null = null;
  if (p.args.word(2) !== 0) {
    const error = yield* p.memory.load(p.args.word(2), 16);
    if (error < 0) return error;
    wanted = { soft: bounded(p.memory.int64At(0)), hard: bounded(p.memory.int64At(8)) };
    if (isAbove(wanted.soft, wanted.hard)) return -EINVAL;
  }
  if (p.args.word(3) !== 0) {
    putInt64(p.memory.view, 0, old.soft);
    putInt64(p.memory.view, 8, old.hard);
    const error = yield* p.memory.store(p.args.word(3), 16);
    if (error < 0) return error;
  }
  return wanted === null ? 0 : setLimit(of, resource, wanted);
}

/** getrlimit(resource, limit): words. */
export function* sysGetrlimit(p: Process): Waiting {
  const resource = p.args.uint(0);
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const { soft, hard } = p.limits.get(resource) ?? initial(p, resource);
  p.memory.putWord(0, soft);
  p.memory.putWord(p.memory.wordBytes, hard);
  return yield* p.memory.store(p.args.word(1), 2 * p.memory.wordBytes);
}

/** setrlimit(resource, limit) */
export function* sysSetrlimit(p: Process): Waiting {
  if (p.args.uint(0) >= RLIM_NLIMITS) return -EINVAL;
  const { memory } = p;
  const error = yield* memory.load(p.args.word(1), 2 * memory.wordBytes);
  if (error < 0) return error;
  return setLimit(p, p.args.uint(0), { soft: bounded(memory.longAt(0)), hard: bounded(memory.longAt(memory.wordBytes)) });
}
