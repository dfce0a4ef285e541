/**
 * Stores: what can back a region of a task.
 *
 *   kind        a missing page is                              a dirty page goes to
 *   anonymous   fresh and zero                                 nowhere; it lives until its region is released
 *   file        read from the file, with read-ahead            the file, when it is synchronised
 *   private     the file's page until it is written; then a    nowhere
 *               logical copy of its own (copy on write)
 *
 * A program's image is a private store over its file. A clean anonymous page has not been written: it is zero, and can
 * be made again. Offsets are bytes, pages are store pages.
 * Source: libhurd-mm of hurd-l4 (anonymous); file and private stores as its design text describes them.
 */
import type { FileBacking } from './interface.ts';
import { PageCache } from './page-cache.ts';

export interface AnonymousStore {
  readonly kind: 'anonymous';
  readonly cache: PageCache;
  /** Memory that others could share: advice of one who maps it does not throw its contents away. */
  readonly shared: boolean;
}

export interface FileStore {
  readonly kind: 'file';
  readonly cache: PageCache;
  file: FileBacking; // the one that can be written, once there is one
  key: object; // identity of the bytes in the cache: file.key when they were read
  window: number; // read-ahead, pages
  expected: number; // store page a sequential reader touches next
}

export interface PrivateStore {
  readonly kind: 'private';
  readonly cache: PageCache; // pages of its own, always dirty
  readonly below: FileStore;
}

export type Store = AnonymousStore | FileStore | PrivateStore;

export function anonymousStore(shared: boolean): AnonymousStore {
  return { kind: 'anonymous', cache: new PageCache(), shared };
}

export function fileStore(file: FileBacking): FileStore {
  return { kind: 'file', cache: new PageCache(), file, key: file.key, window: 1, expected: -1 };
}

export function privateStore(below: FileStore): PrivateStore {
  return { kind: 'private', cache: new PageCache(), below };
}
