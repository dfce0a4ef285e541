/**
 * The directory tree the applets of busybox work on: made anew for each case, the same every time. Host side, node:fs.
 *
 * Contents come from a fixed generator; times are fixed. `describeTree` and `describeFiles` say what is in a tree, of
 * the host or as a guest left it, in the same words.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { FileSystem } from '../../vkernel/posix/vfs/filesystem.ts';
import type { DirectoryInode } from '../../vkernel/posix/vfs/inode.ts';

/** 2024-02-29 12:34:56 UTC. */
const STAMP = 1_709_210_096;
const BIG_BYTES = 2_000_000;

/** Bytes that look random, from a linear congruential generator. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

const WORDS = 'frame page table walk fault map grant flush pager space thread kernel server task store cache fill copy zero'.split(' ');

/** Lines of words and numbers, many of them twice. */
function prose(lines: number, seed: number): string {
  const random = noise(lines * 4, seed);
  let text = '';
  for (let i = 0; i < lines; i += 1) {
    const [a, b, c, d] = random.subarray(4 * i, 4 * i + 4) as unknown as [number, number, number, number];
    text += `${WORDS[a % WORDS.length]} ${WORDS[b % 7]} ${c * 3 - 200}\t${(d / 8).toFixed(2)}\n`;
  }
  return text;
}

/** Makes the tree in `root`, which exists and is empty. */
export function makeTree(root: string, options: { readonly big: boolean }): void {
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/bash\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  const desk = join(root, 'desk');
  const file = (path: string, contents: string | Uint8Array, mode = 0o644): void => {
    writeFileSync(join(desk, path), contents);
    chmodSync(join(desk, path), mode);
    utimesSync(join(desk, path), STAMP, STAMP);
  };
  for (const directory of ['', 'tree', 'tree/a', 'tree/a/deep', 'tree/b', 'tree/empty']) {
    mkdirSync(join(desk, directory));
    chmodSync(join(desk, directory), 0o755);
  }
  file('words', prose(400, 1));
  file(
    'words2',
    prose(400, 1)
      .replace(/page/g, 'leaf')
      .replace(/^.*grant.*\n/gm, ''),
  );
  file('numbers', Array.from({ length: 200 }, (_, i) => `${(i * 7919) % 1000}.${i % 10}`).join('\n'));
  file('table', 'alice:1001:3.5\nbob:17:-2.25\ncarol:256:1e3\ndave:9:0.1\n');
  file('noise', noise(70_000, 7));
  file('empty', '');
  file('crlf', 'one\r\ntwo\r\n');
  file('tabs', 'a\tb\tc\n\tindented\n  two\n');
  file('tree/one.txt', 'one\n');
  file('tree/two.c', 'int two(void) { return 2; }\n', 0o600);
  file('tree/a/three.txt', 'three\nthree again\n', 0o444);
  file('tree/a/deep/four', noise(5000, 4), 0o755);
  file('tree/b/.hidden', 'hidden\n');
  file('patch.diff', '--- tree/one.txt\n+++ tree/one.txt\n@@ -1 +1,2 @@\n-one\n+uno\n+due\n');
  if (options.big) file('big', noise(BIG_BYTES, 99));
  const link = (target: string, path: string): void => {
    symlinkSync(target, join(desk, path));
    lutimesSync(join(desk, path), STAMP, STAMP);
  };
  link('../one.txt', 'tree/a/link');
  link('nowhere', 'tree/dangling');
  for (const directory of ['tree/empty', 'tree/b', 'tree/a/deep', 'tree/a', 'tree', '']) utimesSync(join(desk, directory), STAMP, STAMP);
}

function line(path: string, kind: string, mode: number, mtime: number, rest: string): string {
  const when = mtime < STAMP + 86_400 ? ` @${mtime}` : ''; // what was made meanwhile has the time of the run
  return `${kind} ${(mode & 0o7777).toString(8)} ${path}${kind === 'directory' ? '' : when} ${rest}`.trimEnd();
}

const digest = (bytes: Uint8Array): string => `${bytes.length} ${createHash('md5').update(bytes).digest('hex')}`;

/** A tree of the host, a line an inode. */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const visit = (path: string): void => {
    const at = join(root, path);
    const stat = lstatSync(at);
    const mtime = Math.floor(stat.mtimeMs / 1000);
    if (stat.isDirectory()) {
      lines.push(line(path, 'directory', stat.mode, mtime, ''));
      for (const name of readdirSync(at).sort()) visit(join(path, name));
    } else if (stat.isSymbolicLink()) lines.push(line(path, 'symlink', 0o777, mtime, readlinkSync(at)));
    else if (stat.isFile()) lines.push(line(path, 'file', stat.mode, mtime, digest(readFileSync(at))));
    else lines.push(line(path, stat.isFIFO() ? 'fifo' : 'other', stat.mode, mtime, ''));
  };
  visit('desk');
  return lines;
}

/** The same of a guest's file system. */
export function describeFiles(files: FileSystem): string[] {
  const lines: string[] = [];
  const visit = (directory: DirectoryInode, path: string): void => {
    lines.push(line(path, 'directory', directory.mode, directory.mtime.seconds, ''));
    for (const name of files.tree.list(directory) as readonly string[]) {
      const below = `${path}/${name}`;
      const inode = files.lookup(directory, name, false);
      if (typeof inode === 'number') throw new Error(`${below}: ${inode}`);
      if (inode.kind === 'directory') visit(inode, below);
      else if (inode.kind === 'symlink') lines.push(line(below, 'symlink', 0o777, inode.mtime.seconds, inode.target()));
      else if (inode.kind === 'file') {
        const bytes = new Uint8Array(inode.contents.size);
        inode.contents.read(0, bytes, 0, bytes.length);
        lines.push(line(below, 'file', inode.mode, inode.mtime.seconds, digest(bytes)));
      } else lines.push(line(below, inode.kind === 'fifo' ? 'fifo' : 'other', inode.mode, inode.mtime.seconds, ''));
    }
  };
  const desk = files.lookup(files.root, 'desk', true);
  if (typeof desk === 'number' || desk.kind !== 'directory') throw new Error('no /desk');
  visit(desk, 'desk');
  return lines;
}
