/**
 * /dev: the device nodes every program expects, and the three standard streams.
 *
 * Random numbers are a fixed sequence per machine: the same run gives the same bytes.
 */
import { ENOSPC, ENXIO } from '../../../hostkernel/base/errno.ts';
import type { FileSystem } from './filesystem.ts';
import type { Device, DirectoryInode, Inode } from './inode.ts';
import { DEV_DEV } from './tree.ts';

/** A source of bytes that look random: xorshift128 of Marsaglia (2003) from a fixed seed. */
export class RandomSource {
  readonly #state = new Uint32Array([123456789, 362436069, 521288629, 88675123]);

  constructor(seed: number) {
    this.#state[3] ^= seed;
    this.draw(new Uint8Array(64)); // the seed reaches every word
  }

  draw(into: Uint8Array): void {
    const state = this.#state;
    for (let i = 0; i < into.length; i++) {
      const t = state[0] ^ (state[0] << 11);
      state[0] = state[1];
      state[1] = state[2];
      state[2] = state[3];
      state[3] = state[3] ^ (state[3] >>> 19) ^ t ^ (t >>> 8);
      into[i] = state[3] >>> 8;
    }
  }
}

/** Where the standard streams of the program go. */
export interface Streams {
  /** @returns up to `max` bytes, none at the end */
  read(max: number): Uint8Array;
  /** @returns bytes written or -errno */
  write(fd: 1 | 2, bytes: Uint8Array): number;
  /** Which of the streams 0, 1, 2 are terminals; the others are shown as pipes. */
  readonly terminals: readonly [boolean, boolean, boolean];
}

const NULL: Device = { isTerminal: false, read: () => 0, write: (from) => from.length };
const ZERO: Device = { isTerminal: false, read: zeros, write: (from) => from.length };
const FULL: Device = { isTerminal: false, read: zeros, write: (from) => (from.length === 0 ? 0 : -ENOSPC) };

function zeros(into: Uint8Array): number {
  into.fill(0);
  return into.length;
}

/** The inodes of descriptors 0, 1 and 2. */
export function makeStreams(fs: FileSystem, streams: Streams): readonly [Inode, Inode, Inode] {
  const read = (into: Uint8Array): number => {
    if (into.length === 0) return 0;
    const bytes = streams.read(into.length);
    into.set(bytes.subarray(0, into.length));
    return Math.min(bytes.length, into.length);
  };
  const device = (fd: 0 | 1 | 2): Device => ({
    isTerminal: streams.terminals[fd],
    read,
    write: (from) => streams.write(fd === 2 ? 2 : 1, from),
  });
  const inode = (fd: 0 | 1 | 2): Inode =>
    streams.terminals[fd]
      ? fs.tree.makeDevice('character', 0o620, { major: 136, minor: 0 }, device(fd), DEV_DEV)
      : fs.tree.makeFifo(0o600, device(fd), DEV_DEV);
  const made = [inode(0), inode(1), inode(2)] as const;
  for (const node of made) node.nlink = 1;
  return made;
}

/** Mounts /dev. @param terminal what /dev/tty and /dev/console are; null: there is none (ENXIO when opened) */
export function mountDevices(fs: FileSystem, random: RandomSource, terminal: Inode | null): DirectoryInode {
  const { tree } = fs;
  const dev = tree.makeDirectory(null, 0o755, { dev: DEV_DEV });
  const fill: Device = {
    isTerminal: false,
    read: (into) => {
      random.draw(into);
      return into.length;
    },
    write: (from) => from.length,
  };
  const console: Device | null = terminal !== null && terminal.kind === 'character' ? terminal.device : null;
  const noTerminal: Device = { isTerminal: false, read: () => -ENXIO, write: () => -ENXIO };
  const nodes: readonly (readonly [name: string, mode: number, major: number, minor: number, device: Device | null])[] = [
    ['null', 0o666, 1, 3, NULL],
    ['zero', 0o666, 1, 5, ZERO],
    ['full', 0o666, 1, 7, FULL],
    ['random', 0o666, 1, 8, fill],
    ['urandom', 0o666, 1, 9, fill],
    ['tty', 0o666, 5, 0, console],
    ['console', 0o600, 5, 1, console ?? noTerminal],
  ];
  for (const [name, mode, major, minor, device] of nodes) {
    tree.attach(dev, name, tree.makeDevice('character', mode, { major, minor }, device, DEV_DEV));
  }
  const links: readonly (readonly [name: string, target: string])[] = [
    ['fd', '/proc/self/fd'],
    ['stdin', '/proc/self/fd/0'],
    ['stdout', '/proc/self/fd/1'],
    ['stderr', '/proc/self/fd/2'],
  ];
  for (const [name, target] of links) tree.attach(dev, name, tree.makeSymlink(target, DEV_DEV));
  tree.attach(dev, 'shm', tree.makeDirectory(dev, 0o1777, { dev: DEV_DEV }));
  fs.mount('dev', dev);
  return dev;
}
