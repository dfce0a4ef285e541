/**
 * Thread ids: the names threads have towards each other.
 *
 *   32-bit machine   thread number (18) | version (14)
 *   64-bit machine   thread number (32) | version (32)
 *
 * The version of a thread is its task id. A version whose low six bits are all zero is invalid, because such a word
 * would be a local id. Raw ids are plain numbers and stay exact: thread numbers above MAX_THREAD_NUMBER are refused.
 * Source: L4 X.2, "ThreadId"; sizes of the version field as in the kernel's thread table.
 */
import { kassert } from '../../hostkernel/base/assert.ts';

declare const brand: unique symbol;

/** Raw global id: number * 2^versionBits + version. Special: NIL, ANY, ANYLOCAL. */
export type ThreadId = number & { readonly [brand]: 'ThreadId' };

/** Bits in a machine word; fixes all formats of this folder. */
export type WordBits = 32 | 64;

export const NIL = 0 as ThreadId;
export const ANY = -1 as ThreadId; //       the word of all ones
export const ANYLOCAL = -64 as ThreadId; // all ones, low six bits zero

/** Largest thread number in use, on either word size: 2^18 - 1. Keeps ids far below 2^53. */
export const MAX_THREAD_NUMBER = 0x3ffff;

/** First user thread number: 16 interrupts and 32 kernel threads come before it. */
export const USER_BASE = 48;

const WORD = 0x1_0000_0000;

/** Bits of the version field: 14 or 32. */
export function versionBits(wordBits: WordBits): 14 | 32 {
  return wordBits === 32 ? 14 : 32;
}

/** Whether `version` can be a task id: in range, low six bits not all zero. */
export function isVersion(version: number, wordBits: WordBits): boolean {
  return Number.isInteger(version) && version > 0 && version < 2 ** versionBits(wordBits) && (version & 63) !== 0;
}

/** The global id of (number, version). Both must be in range: ids that come from outside are checked with isGlobalId. */
export function threadId(number: number, version: number, wordBits: WordBits): ThreadId {
  kassert(number >= 0 && number <= MAX_THREAD_NUMBER, 'thread-id: thread number out of range');
  kassert(isVersion(version, wordBits), 'thread-id: bad version');
  return (wordBits === 32 ? number * 0x4000 + version : number * WORD + version) as ThreadId;
}

/** Whether `id` has the form of a global id: a number in range and a valid version. NIL, ANY, ANYLOCAL have not. */
export function isGlobalId(id: number, wordBits: WordBits): id is ThreadId {
  if (!Number.isSafeInteger(id) || id <= 0) return false;
  return threadNumber(id, wordBits) <= MAX_THREAD_NUMBER && isVersion(taskOf(id, wordBits), wordBits);
}

/** Thread number of a global id. Exact below 2^53. */
export function threadNumber(id: number, wordBits: WordBits): number {
  return wordBits === 32 ? id >>> 14 : (id - (id >>> 0)) / WORD;
}

/** Task id (the version field) of a global id. */
export function taskOf(id: number, wordBits: WordBits): number {
  return wordBits === 32 ? id & 0x3fff : id >>> 0;
}

/** `48:1`, thread number and task id: how an id is shown to a person. */
export function threadName(id: number, wordBits: WordBits): string {
  if (id === NIL) return 'nil';
  if (id === ANY) return 'any';
  if (id === ANYLOCAL) return 'anylocal';
  return `${threadNumber(id, wordBits)}:${taskOf(id, wordBits)}`;
}
