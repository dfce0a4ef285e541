/** `--host-swap`: the disk the host kernel pages to. A size is a disk in our own memory, anything else names a file. */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { BLOCK_SIZE, type BlockDevice, type BlockStore, DelayedDisk, memoryDisk } from '../../hostkernel/machine/index.ts';
import { parseSize } from './size.ts';

const LEAST_BYTES = 2 * BLOCK_SIZE; // one block is not used

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

/**
 * The disk that `text` asks for; null for no text: the machine has none.
 * @param text a size, or the path of a file of at least two blocks, which will be overwritten
 * @returns the disk, or one line that says why there is none
 */
export function openHostSwap(text: string | undefined): BlockDevice | null | string {
  if (text === undefined) return null;
  const size = parseSize(text);
  if (size === null) return openFile(text);
  return size < LEAST_BYTES
    ? `--host-swap: ${text} is too little; a page of 4K is the least, beside one that is not used`
    : memoryDisk(size);
}

function openFile(path: string): BlockDevice | string {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    return `--host-swap: '${path}' is no size, and no file that can be written: ${error instanceof Error ? error.message : String(error)}`;
  }
  const blocks = Math.floor(fstatSync(fd).size / BLOCK_SIZE);
  if (blocks >= 2) return new DelayedDisk(new FileStore(fd), blocks);
  closeSync(fd);
  return `--host-swap: '${path}' is too small; make it as large as the swap space is to be`;
}
