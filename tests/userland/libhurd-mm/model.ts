/**
 * The slow model of a task's memory: a page number leads to what the page shows. Two words of every page are followed,
 * at bytes 0 and 64. A file has one truth, which its mappings show and a system call reads.
 */
import type { FileBacking } from '../../../userland/libhurd-mm/index.ts';

export const PAGE = 4096;
export const WORDS = [0, 64] as const; // byte offsets in a page
export const TAIL = 100; // bytes of the last page of a file

/** A file as the posix server keeps one: its key changes with its bytes. */
export class ModelFile {
  key: object = {};
  bytes: Uint8Array;
  readonly writable: boolean;

  constructor(pages: number, writable: boolean) {
    this.bytes = new Uint8Array((pages - 1) * PAGE + TAIL);
    for (let i = 0; i < this.bytes.length; i += 4) this.bytes[i] = 1 + (Math.floor(i / 64) % 250);
    this.writable = writable;
    this.truth = Array.from({ length: pages }, (_, page) => [this.stored(page, 0), this.stored(page, 1)]);
  }

  /** What mappings show: by page, by word. */
  truth: number[][];

  get pages(): number {
    return this.truth.length;
  }

  /** What is in the file. */
  stored(page: number, word: number): number {
    return new DataView(this.bytes.buffer).getUint32(page * PAGE + (WORDS[word] as number), true);
  }

  /** A system call writes. */
  put(page: number, word: number, value: number): void {
    new DataView(this.bytes.buffer).setUint32(page * PAGE + (WORDS[word] as number), value, true);
    (this.truth[page] as number[])[word] = value;
    this.key = {};
  }

  /** A system call sets the size. */
  resize(pages: number): void {
    const bytes = new Uint8Array((pages - 1) * PAGE + TAIL);
    bytes.set(this.bytes.subarray(0, bytes.length));
    this.bytes = bytes;
    const { truth } = this;
    this.truth = Array.from({ length: pages }, (_, page) => truth[page] ?? [0, 0]);
    this.key = {};
  }

  backing(writable: boolean): FileBacking {
    const file = this; // oxlint-disable-line no-this-alias
    return {
      get size() {
        return file.bytes.length;
      },
      get key() {
        return file.key;
      },
      read(offset, into) {
        const piece = file.bytes.subarray(offset, offset + into.length);
        into.set(piece);
        return piece.length;
      },
      ...(writable ? { write } : {}),
    };
    function write(offset: number, from: Uint8Array): number {
      const n = Math.max(0, Math.min(from.length, file.bytes.length - offset));
      file.bytes.set(from.subarray(0, n), offset);
      file.key = {};
      return n;
    }
  }
}

/** What one page of the address space shows. */
export interface Shown {
  prot: number;
  readonly limit: number;
  readonly file: ModelFile | null;
  readonly filePage: number;
  readonly shared: boolean;
  own: number[] | null; // private words; always there for anonymous memory
}

export function anonymousPage(prot: number, shared: boolean): Shown {
  return { prot, limit: 7, file: null, filePage: 0, shared, own: [0, 0] };
}

export function filePage(file: ModelFile, page: number, prot: number, shared: boolean, writable: boolean): Shown {
  return { prot, limit: shared && !writable ? 5 : 7, file, filePage: page, shared, own: null };
}

/** The page behind `shown` in the same mapping. */
export function following(shown: Shown, by: number): Shown {
  return shown.file === null ? anonymousPage(shown.prot, shown.shared) : { ...shown, filePage: shown.filePage + by, own: null };
}

/** The words of a page, or null: beyond the end of its file. */
export function wordsOf(shown: Shown): number[] | null {
  return shown.own ?? shown.file?.truth[shown.filePage] ?? null;
}

export class ModelSpace {
  readonly pages = new Map<number, Shown>(); // by page number

  range(start: number, pages: number): (Shown | undefined)[] {
    return Array.from({ length: pages }, (_, i) => this.pages.get(start + i));
  }

  isFree(start: number, pages: number): boolean {
    return this.range(start, pages).every((shown) => shown === undefined);
  }

  isBound(start: number, pages: number): boolean {
    return this.range(start, pages).every((shown) => shown !== undefined);
  }

  remove(start: number, pages: number): void {
    for (let page = start; page < start + pages; page += 1) this.pages.delete(page);
  }
}
