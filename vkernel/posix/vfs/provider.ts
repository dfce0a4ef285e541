/**
 * What the overlay file system stands on: a read-only tree of files, somewhere else.
 *
 * A provider answers at once and never throws; a refusal is a negative errno. Paths are relative to its root, without
 * a leading slash, `''` being the root; no component is `.` or `..`, and no component but the last is ever a symbolic
 * link: the overlay resolves links itself, which is what keeps a program inside its root.
 *
 * Names are *byte strings* everywhere in the file system: one character, 0 to 255, a byte. A Linux name is bytes, not
 * text, and this form keeps any of them.
 */

/** A moment or a duration: whole seconds and 0 <= nanoseconds < 1e9. Since 1970 where it is a date. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly mode: number; // permission bits, 0 to 0o7777
  readonly size: number; // bytes
  readonly blocks: number; // units of 512 bytes
  readonly nlink: number;
  readonly mtime: Timestamp;
  /** Two paths with the same identity are the same file (a hard link). Null where that is not known. */
  readonly identity: string | null;
}

export interface FileProvider {
  /** What is at `path`, a symbolic link itself and not what it points to; or -errno. */
  stat(path: string): FileStat | number;
  /** The names in a directory, without `.` and `..`, in any order; or -errno. */
  list(path: string): readonly string[] | number;
  /** Reads from `offset` (bytes) into the whole of `into`. @returns bytes read, fewer only at the end; or -errno */
  readFile(path: string, offset: number, into: Uint8Array): number;
  /** The target of a symbolic link; or -errno. */
  readlink(path: string): string | number;
}

/** A byte string from text: its UTF-8 encoding. */
export function byteString(text: string): string {
  return latin1(new TextEncoder().encode(text));
}

/** Text from a byte string, for a person: invalid UTF-8 becomes U+FFFD. */
export function textOf(bytes: string): string {
  return new TextDecoder().decode(bytesOf(bytes));
}

/** A byte string from bytes. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

/** The bytes of a byte string. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
