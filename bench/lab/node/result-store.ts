/**
 * Results in a folder, a file each, named by the key of its job: KEY.json. A file that is there is whole: it is written
 * under another name first. Any number of processes may write into one folder, on a shared file system too.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';

const RESULT_FILE = /^([0-9a-f]{64})\.json$/;

export class ResultStore {
  readonly folder: string;
  readonly #known: Set<string>;

  /** Makes the folder if need be. @throws the file system's error */
  constructor(folder: string) {
    makeFolder(folder);
    this.folder = folder;
    this.#known = new Set(resultKeys(folder));
  }

  /** Whether there is a result for `key`: when the store was opened, or since. */
  has(key: string): boolean {
    return this.#known.has(key);
  }

  pathOf(key: string): string {
    return join(this.folder, `${key}.json`);
  }

  /** @throws the file system's error; nothing is left behind then */
  write(key: string, text: string): void {
    const unfinished = join(this.folder, `.${key}.${hostname()}.${process.pid}`);
    try {
      writeFileSync(unfinished, text, { flush: true });
      renameSync(unfinished, this.pathOf(key));
    } catch (error) {
      rmSync(unfinished, { force: true });
      throw error;
    }
    this.#known.add(key);
  }

  /** The text of each result, by key, in the order of the keys. */
  *texts(): Generator<readonly [key: string, text: string]> {
    for (const key of [...this.#known].sort()) yield [key, readFileSync(this.pathOf(key), 'utf8')];
  }
}

/** Makes a folder and those above it. mkdirSync's own recursion never ends where a parent is there and takes no folders, as /proc. */
function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process of the same sweep may have been first.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

/** Keys of the results in a folder. */
export function resultKeys(folder: string): readonly string[] {
  return readdirSync(folder).flatMap((name) => RESULT_FILE.exec(name)?.[1] ?? []);
}
