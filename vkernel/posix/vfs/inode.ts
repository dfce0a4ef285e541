/**
 * Inodes: what a name leads to. Plain records; the rules about them are in `filesystem.ts`.
 *
 *   directory  --entries-->  inode, or null: a whiteout, the name exists below but not here
 *   file       contents in memory in front of the original (contents.ts), or text generated when it is opened (procfs.ts)
 *   symlink    a target path; a magic one (of /proc) leads straight to an inode as well
 *   device     answered by code (devices.ts)
 *   fifo       a pipe (pipe.ts)
 *   socket     only a name with attributes; nothing can be done with it
 */
import type { FileProvider, Timestamp } from './provider.ts';
import type { Contents } from './contents.ts';
import type { Pipe } from './pipe.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../abi.ts';

/** What every inode has. */
export interface Attributes {
  readonly ino: number;
  readonly dev: number; // which mounted tree: a link or rename from one to another is EXDEV
  mode: number; // permission bits, 0 to 0o7777
  uid: number;
  gid: number;
  nlink: number; // names that lead here; a directory also counts `.` and the `..` of its children
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
}

export interface FileInode extends Attributes {
  readonly kind: 'file';
  readonly contents: Contents;
  /** Blocks (512 bytes) of the original, shown while the file is unchanged. */
  readonly lowerBlocks: number;
  /** Text made at each open instead of stored contents; null for stored files. */
  readonly generate: (() => string) | null;
  opens: number; // open file descriptions: contents live on after the last name is gone
}

export interface DirectoryInode extends Attributes {
  readonly kind: 'directory';
  parent: DirectoryInode;
  name: string; // in its parent; '' for a root
  readonly entries: Map<string, Inode | null>;
  /** Where the names not in `entries` are looked up; null when there is nothing below (any more). */
  lower: { readonly provider: FileProvider; readonly path: string } | null;
  /** Computed children (of /proc); null for ordinary directories. */
  readonly computed: ComputedDirectory | null;
  readonly sealed: boolean; // names can neither be made nor removed
  removed: boolean; // rmdir has taken it out of the tree
}

/** A directory whose children are made when they are asked for. */
export interface ComputedDirectory {
  lookup(name: string): Inode | null;
  list(): readonly string[];
}

export interface SymlinkInode extends Attributes {
  readonly kind: 'symlink';
  readonly target: () => string;
  readonly pages: number; // pages of the store a long target is charged as
  /** A magic link: where it leads without a walk, or null if it does not lead anywhere now. */
  readonly jump: (() => Inode | null) | null;
}

export interface DeviceInode extends Attributes {
  readonly kind: 'character' | 'block';
  readonly major: number;
  readonly minor: number;
  readonly device: Device | null; // null: a node without a driver (ENXIO when opened)
}

export interface FifoInode extends Attributes {
  readonly kind: 'fifo';
  readonly pipe: Pipe | null; // null: a console stream shown as a pipe, answered by `device`
  readonly device: Device | null;
}

export interface SocketInode extends Attributes {
  readonly kind: 'socket';
}

export type Inode = FileInode | DirectoryInode | SymlinkInode | DeviceInode | FifoInode | SocketInode;

/** The code behind a device node. */
export interface Device {
  readonly isTerminal: boolean;
  /** Fills `into` from its start. @returns bytes, 0 at the end, or -errno */
  read(into: Uint8Array): number;
  /** @returns bytes taken, or -errno */
  write(from: Uint8Array): number;
}

const TYPE_BITS: Readonly<Record<Inode['kind'], number>> = {
  file: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  character: S_IFCHR,
  block: S_IFBLK,
  fifo: S_IFIFO,
  socket: S_IFSOCK,
};

/** The type bits of `st_mode`. */
export function typeBits(node: Inode): number {
  return TYPE_BITS[node.kind];
}

/** Size in bytes as stat(2) shows it. */
export function sizeOf(node: Inode): number {
  if (node.kind === 'file') return node.contents.size;
  if (node.kind === 'directory') return 4096;
  if (node.kind === 'symlink') return node.jump === null ? node.target().length : 64;
  return 0;
}

/** Allocated blocks of 512 bytes as stat(2) shows them. */
export function blocksOf(node: Inode): number {
  if (node.kind === 'directory') return 8;
  if (node.kind !== 'file') return 0;
  return node.contents.pristine ? node.lowerBlocks : node.contents.pages * 8;
}
