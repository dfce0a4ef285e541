/** FileTree: the files a process can open or execute by name. The embedder gives them; to processes they are read only. */

/** Longest path, bytes with its NUL. */
export const PATH_MAX = 4096;

export class FileTree {
  readonly #files = new Map<string, Uint8Array>();

  constructor(files: ReadonlyMap<string, Uint8Array>) {
    for (const [path, bytes] of files) this.add(path, bytes);
  }

  /** Puts a file at `path`, in place of what was there. */
  add(path: string, bytes: Uint8Array): void {
    this.#files.set(normal(path), bytes);
  }

  /** The contents of the file at `path`, which begins at the root whether it says so or not; null: there is none. */
  find(path: string): Uint8Array | null {
    return this.#files.get(normal(path)) ?? null;
  }
}

/** `/a/b` for `a//./c/../b`. */
function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
