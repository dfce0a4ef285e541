/**
 * Dumps of memory with page tables in it, as `vkernel walk` reads them.
 *
 *   JSON   [[address, entry], ...], or an object with such a list under `mem`: a test vector will do
 *   raw    the bytes of memory from --base on, entries in the layout's byte order
 */
import { readHostFile } from '../posix/node/provider.ts';
import { errnoText } from '../../hostkernel/base/errno.ts';
import type { LayoutProblem } from '../../hostkernel/machine/paging/index.ts';
import { fileText, problemLine } from './layout-file.ts';
import { hex, isTable, listOf } from '../../hostkernel/base/shape.ts';

/** Memory that tables lie in. */
export interface TableMemory {
  /** The entry of `bytes` bytes at an address; 0 where the dump has nothing. */
  read(address: bigint, bytes: number, endian: 'le' | 'be'): bigint;
}

const MAX_JSON = 64 * 1024 * 1024;
const MAX_PAIRS = 1_000_000;
const PAIRS = listOf(listOf(hex, 2), MAX_PAIRS);

/** Opens a dump. @returns its memory, or one line that says what is wrong */
export function openDump(path: string, base: bigint | null): TableMemory | string {
  return base === null ? jsonDump(path) : rawDump(path, base);
}

function jsonDump(path: string): TableMemory | string {
  const file = fileText(path, MAX_JSON);
  if ('problem' in file) return `${path}: ${file.problem}${file.problem === 'not a text file' ? '; a raw dump needs --base' : ''}`;
  let value: unknown;
  try {
    value = JSON.parse(file.text);
  } catch (error) {
    return `${path}: ${(error as Error).message.split('\n')[0]}; a raw dump needs --base`;
  }
  const problems: LayoutProblem[] = [];
  const pairs = PAIRS(isTable(value) ? value['mem'] : value, 'mem', problems);
  if (problems.length > 0) return `${path}: ${problemLine(problems[0])}`;
  const entries = new Map<bigint, bigint>();
  for (const [i, pair] of pairs.entries()) {
    if (pair.length !== 2) return `${path}: mem[${i}]: no pair of address and entry`;
    entries.set(BigInt(pair[0]), BigInt(pair[1]));
  }
  return { read: (address) => entries.get(address) ?? 0n };
}

function rawDump(path: string, base: bigint): TableMemory | string {
  const bytes = readHostFile(path);
  if (typeof bytes === 'number') return `${path}: ${errnoText(-bytes)}`;
  return {
    read: (address, width, endian) => {
      const at = address - base;
      if (at < 0n || at + BigInt(width) > BigInt(bytes.length)) return 0n;
      let entry = 0n;
      for (let i = 0; i < width; i++) entry |= BigInt(bytes[Number(at) + (endian === 'le' ? i : width - 1 - i)]) << BigInt(8 * i);
      return entry;
    },
  };
}
