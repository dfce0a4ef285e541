/**
 * `--host-swap` and `--swap`: disks to page to, of the host kernel and of physmem. A size is a disk in our own memory,
 * anything else names a file.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import {
  BLOCK_SIZE,
  type BlockDevice,
  type BlockStore,
  DelayedDisk,
  type PolledDisk,
  polledDisk,
  SparseStore,
} from '../../hostkernel/machine/index.ts';
import { parseSize } from './size.ts';

/** Blocks in an open file. A page that has never been written reads as whatever is there. */
class FileStore implements BlockStore {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(block: number, into: Uint8Array): boolean {
    try {
      return readSync(this.#fd, into, 0, BLOCK_SIZE, block * BLOCK_SIZE) === BLOCK_SIZE;
    } catch {
      return false; // the guest of the disk is told of an error, as of any disk
    }
  }

  write(block: number, from: Uint8Array): boolean {
    try {
      return writeSync(this.#fd, from, 0, BLOCK_SIZE, block * BLOCK_SIZE) === BLOCK_SIZE;
    } catch {
      return false;
    }
  }
}

interface Storage {
  readonly store: BlockStore;
  readonly blocks: number;
}

/**
 * The disk the host kernel pages to; null for no text: the machine has none.
 * @param text a size, or the path of a file of at least two blocks (one is not used), which will be overwritten
 * @returns the disk, or one line that says why there is none
 */
export function openHostSwap(text: string | undefined): BlockDevice | null | string {
  if (text === undefined) return null;
  const found = openStorage('--host-swap', text, 2);
  return typeof found === 'string' ? found : new DelayedDisk(found.store, found.blocks);
}

/** The same for physmem, which uses every block. */
export function openSwap(text: string | undefined): PolledDisk | null | string {
  if (text === undefined) return null;
  const found = openStorage('--swap', text, 1);
  return typeof found === 'string' ? found : polledDisk(found.store, found.blocks);
}

function openStorage(option: string, text: string, least: number): Storage | string {
  const size = parseSize(text);
  if (size === null) return openFile(option, text, least);
  const blocks = Math.ceil(size / BLOCK_SIZE);
  if (blocks >= least) return { store: new SparseStore(), blocks };
  return `${option}: ${text} is too little; a page of 4K is the least${least > 1 ? ', beside one that is not used' : ''}`;
}

function openFile(option: string, path: string, least: number): Storage | string {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    return `${option}: '${path}' is no size, and no file that can be written: ${error instanceof Error ? error.message : String(error)}`;
  }
  const blocks = Math.floor(fstatSync(fd).size / BLOCK_SIZE);
  if (blocks >= least) return { store: new FileStore(fd), blocks };
  closeSync(fd);
  return `${option}: '${path}' is too small; make it as large as the swap space is to be`;
}
