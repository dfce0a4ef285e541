/**
 * Requests to physmem in words: arguments by their names, ranges in pages (`5P` is five of 4 KiB), flags by name.
 *
 *   physmem 22:9 map(container 0x40001, READ|WRITE|FORCE_WRITE, vaddr 0x10000, index 5P, size 16P) = 0: 16P in 4 items
 */
import { errnoName } from '../../hostkernel/base/errno.ts';
import type { TraceEvents } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { PHYSMEM } from '../index.ts';
import { thread } from './thread-text.ts';

type Request = TraceEvents['rpc'];
type Named = Readonly<Record<string, number>>;

/** Bit n of a flag word is called NAMES[n]. */
const FLAGS = [
  'EXECUTE',
  'WRITE',
  'READ',
  'SHARED',
  'MOVE',
  'IN_PLACE',
  'FORCE_WRITE',
  'LAZY',
  'ALL_OR_NONE',
  'SQUASH',
  'EXTRA',
  'DMA',
  'CONSTRAINED',
  'CONTIGUOUS',
  'SOFT',
  'KEEP',
];
const WEAK_RIGHTS = ['MAP_READ', 'MAP_WRITE', 'COPY_FROM', 'COPY_INTO', 'LOCK', 'PIN'];

/** Words that are bytes, whole pages where the request is sound. */
const BYTES = new Set(['start', 'size', 'index', 'amount', 'sourceStart', 'destinationStart', 'length', 'first']);
/** Words that count, or name by number: decimal. */
const COUNTS = new Set([
  'charged',
  'pages',
  'task',
  'duration',
  'frameError',
  'rows',
  'received',
  'fixed',
  'free',
  'bound',
  'containers',
  'limit',
  'used',
  'guaranteed',
  'allocated',
  'extra',
  'overhead',
  'swapUsed',
  'swapQuota',
  'pinned',
  'pinQuota',
  'id',
  'references',
  'count',
]);

function methodOf(name: string): {
  readonly words: readonly string[];
  readonly list: readonly string[];
  readonly reply: readonly string[];
} {
  const method = Object.values(PHYSMEM).find((one) => one.name === name) as
    | { request: readonly string[]; optional?: readonly string[]; list?: readonly string[]; reply: readonly string[] }
    | undefined;
  return { words: [...(method?.request ?? []), ...(method?.optional ?? [])], list: method?.list ?? [], reply: method?.reply ?? [] };
}

/** Words under their names; the elements of a list are numbered. */
function named(values: readonly number[], words: readonly string[], list: readonly string[]): Named {
  const result: Record<string, number> = {};
  values.forEach((value, i) => {
    const beyond = i - words.length;
    const name =
      beyond < 0 ? words[i] : list.length === 0 ? `word${i}` : `${list[beyond % list.length]}[${Math.floor(beyond / list.length)}]`;
    result[name] = value;
  });
  return result;
}

/** The event with its words named, for a program. */
export function physmemRequest({ method, client, args, errno, results, items, mapped }: Request): object {
  const { words, list, reply } = methodOf(method);
  return {
    client: thread(client),
    method,
    arguments: named(args, words, list),
    errno: errno < 0 ? 'no reply' : errno === 0 ? 0 : errnoName(errno),
    results: named(results, reply, []),
    items,
    mapped,
  };
}

/** The event as one line for a person. */
export function physmemLine({ method, client, args, errno, results, items, mapped }: Request): string {
  const { words, list, reply } = methodOf(method);
  const given = Object.entries(named(args, words, list)).map(([name, value]) => word(name, value));
  const got = errno === 0 ? Object.entries(named(results, reply, [])).map(([name, value]) => word(name, value)) : [];
  if (errno > 0 && reply[0] === 'amount') got.push(word('amount', results[0] ?? 0));
  if (items > 0) got.push(`${amount(mapped)} in ${items} item${items === 1 ? '' : 's'}`);
  const label = errno < 0 ? 'no reply' : errno === 0 ? '0' : errnoName(errno);
  return `${thread(client)} ${method}(${given.join(', ')}) = ${label}${got.length === 0 ? '' : `: ${got.join(', ')}`}`;
}

function word(name: string, value: number): string {
  const plain = name.replace(/\[\d+\]$/, '');
  if (plain === 'flags') return bits(value, FLAGS);
  if (plain === 'rights') return bits(value, WEAK_RIGHTS);
  if (BYTES.has(plain)) return `${name} ${amount(value)}`;
  if (plain === 'thread') return `thread ${thread(value)}`;
  return `${name} ${COUNTS.has(plain) ? value : hex(value)}`;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Bytes in pages, where they are whole pages. */
function amount(bytes: number): string {
  return bytes % PAGE_SIZE === 0 ? `${bytes / PAGE_SIZE}P` : hex(bytes);
}

/** The names of the bits that are set, what has no name as a number; a dash where there is none. */
function bits(value: number, names: readonly string[]): string {
  const known = 2 ** names.length;
  const found = names.filter((_, i) => Math.floor(value / 2 ** i) % 2 === 1);
  const rest = Math.floor(value / known) * known;
  if (rest !== 0) found.push(hex(rest));
  return found.length === 0 ? '-' : found.join('|');
}
