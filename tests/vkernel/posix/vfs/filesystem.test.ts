import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
} from '../../../../hostkernel/base/errno.ts';
import { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY } from '../../../../vkernel/posix/abi.ts';
import { FileSystem } from '../../../../vkernel/posix/vfs/filesystem.ts';
import type { Inode } from '../../../../vkernel/posix/vfs/inode.ts';
import type { OpenFile } from '../../../../vkernel/posix/vfs/open-file.ts';
import { bytesOf, latin1 } from '../../../../vkernel/posix/vfs/provider.ts';
import { type Below, memoryProvider } from '../memory-provider.ts';

function overlay(below: Below | null = null, capacity = 2 ** 24): FileSystem {
  return new FileSystem({ provider: below === null ? null : memoryProvider(below), now: () => ({ seconds: 5, nanoseconds: 0 }), capacity });
}

function open(fs: FileSystem, path: string, flags: number): OpenFile {
  const file = fs.open(fs.root, path, flags, 0o644);
  if (typeof file === 'number') throw new Error(`open ${path}: ${file}`);
  file.acquire();
  return file;
}

function contents(fs: FileSystem, path: string): string | number {
  const file = fs.open(fs.root, path, 0, 0);
  if (typeof file === 'number') return file;
  const into = new Uint8Array(20000);
  const n = file.readAt(0, into);
  return n < 0 ? n : latin1(into.subarray(0, n));
}

function names(fs: FileSystem, path: string): readonly string[] | number {
  const node = fs.lookup(fs.root, path, true);
  return typeof node === 'number' ? node : node.kind === 'directory' ? fs.tree.list(node) : -ENOTDIR;
}

function errno(result: unknown): unknown {
  return typeof result === 'number' ? result : 'something';
}

describe('open', () => {
  const fs = overlay({ d: { f: bytesOf('text') }, l: 'd/f', dangling: 'none/x', loop: 'loop' });
  const cases: readonly (readonly [string, number, unknown])[] = [
    ['', 0, -ENOENT],
    ['none', 0, -ENOENT],
    ['none/x', O_CREAT, -ENOENT],
    ['d/f/x', 0, -ENOTDIR],
    ['d/f/', 0, -ENOTDIR],
    ['d', O_WRONLY, -EISDIR],
    ['d', O_CREAT, -EISDIR],
    ['d', O_TRUNC, -EISDIR],
    ['d/new/', O_CREAT | O_RDWR, -EISDIR],
    ['d/f', O_DIRECTORY, -ENOTDIR],
    ['d/f', O_CREAT | O_EXCL, -EEXIST],
    ['dangling', O_CREAT | O_EXCL, -EEXIST],
    ['dangling', 0, -ENOENT],
    ['dangling', O_CREAT, -ENOENT],
    ['l', O_NOFOLLOW, -ELOOP],
    ['loop', 0, -ELOOP],
    ['loop/x', 0, -ELOOP],
    ['d', O_TMPFILE | O_RDWR, -EOPNOTSUPP],
    ['d', O_CREAT | O_DIRECTORY, -EINVAL],
    ['x'.repeat(256), 0, -ENAMETOOLONG],
    ['d/../'.repeat(900), 0, -ENAMETOOLONG],
    ['l', 0, 'something'],
    ['./d//f', 0, 'something'],
    ['d/', O_DIRECTORY, 'something'],
  ];
  test.each(cases)('%j with flags %i', (path, flags, expected) => {
    expect(errno(fs.open(fs.root, path, flags, 0o644))).toBe(expected);
  });
  test('creating through a link to nothing makes the target', () => {
    const made = overlay({ l: 'target' });
    expect(errno(made.open(made.root, 'l', O_CREAT | O_RDWR, 0o600))).toBe('something');
    expect(errno(made.lookup(made.root, 'target', false))).toBe('something');
  });
});

describe('the root cannot be left', () => {
  test.each(['../x', '/../../x', 'd/../../../x', 'up/x', 'abs/x', 'd/up2/x', 'up/up/../x', 'proc/../../x'])('%s', (path) => {
    const fs = overlay({ x: bytesOf('inside'), d: { up2: '../../..' }, up: '..', abs: '/', proc: {} });
    expect(contents(fs, path)).toBe('inside'); // the provider throws if it is asked for `..` or to look through a link
  });
});

describe('the layer below', () => {
  test('a write copies up one page and leaves the rest', () => {
    const below = new Uint8Array(3 * 4096).fill(65);
    const fs = overlay({ f: below });
    const file = open(fs, 'f', O_RDWR);
    expect(file.writeAt(5000, bytesOf('xyz'))).toBe(3);
    expect(fs.tree.store.pagesUsed).toBe(1);
    expect(below[5000]).toBe(65);
    const text = contents(fs, 'f');
    expect(typeof text === 'string' && text.slice(4998, 5005)).toBe('AAxyzAA');
    expect(typeof text === 'string' && text.length).toBe(3 * 4096);
  });
  test('what was cut off does not come back', () => {
    const fs = overlay({ f: new Uint8Array(100).fill(65) });
    const file = open(fs, 'f', O_RDWR);
    file.truncate(10);
    file.truncate(20);
    expect(contents(fs, 'f')).toBe('A'.repeat(10) + '\0'.repeat(10));
  });
  test('a removed name stays removed, and can be made again', () => {
    const fs = overlay({ d: { f: bytesOf('old') } });
    expect(fs.unlink(fs.root, 'd/f')).toBe(0);
    expect(contents(fs, 'd/f')).toBe(-ENOENT);
    expect(names(fs, 'd')).toEqual([]);
    open(fs, 'd/f', O_CREAT | O_RDWR).writeAt(0, bytesOf('new'));
    expect(contents(fs, 'd/f')).toBe('new');
  });
  test('a removed directory made again is empty', () => {
    const fs = overlay({ d: { f: bytesOf('old') } });
    expect(fs.unlink(fs.root, 'd/f')).toBe(0);
    expect(fs.rmdir(fs.root, 'd')).toBe(0);
    expect(fs.mkdir(fs.root, 'd', 0o755)).toBe(0);
    expect(names(fs, 'd')).toEqual([]);
  });
  test('a renamed directory keeps what lies below it', () => {
    const fs = overlay({ d: { e: { f: bytesOf('deep') } } });
    const at = { base: fs.root };
    expect(fs.rename({ ...at, path: 'd' }, { ...at, path: 'n' }, 0)).toBe(0);
    expect(contents(fs, 'n/e/f')).toBe('deep');
    expect(contents(fs, 'd/e/f')).toBe(-ENOENT);
    expect(names(fs, '/')).toEqual(['n']);
  });
});

describe('names', () => {
  test('an unlinked file lives while it is open', () => {
    const fs = overlay();
    const file = open(fs, 'f', O_CREAT | O_RDWR);
    file.writeAt(0, bytesOf('still'));
    expect(fs.unlink(fs.root, 'f')).toBe(0);
    const into = new Uint8Array(5);
    expect(file.readAt(0, into)).toBe(5);
    expect(fs.tree.store.pagesUsed).toBe(1);
    file.release();
    expect(fs.tree.store.pagesUsed).toBe(0);
  });
  test('rename refuses what cannot be', () => {
    const fs = overlay({ d: { e: {} }, f: bytesOf(''), full: { x: bytesOf('') } });
    const rename = (from: string, to: string, flags = 0): number =>
      fs.rename({ base: fs.root, path: from }, { base: fs.root, path: to }, flags);
    expect(rename('d', 'd/e/x')).toBe(-EINVAL);
    expect(rename('d/e', 'd')).toBe(-ENOTEMPTY);
    expect(rename('d', 'full')).toBe(-ENOTEMPTY);
    expect(rename('d', 'f')).toBe(-ENOTDIR);
    expect(rename('f', 'd')).toBe(-EISDIR);
    expect(rename('f', 'g/')).toBe(-ENOTDIR);
    expect(rename('f', 'full/x', 1)).toBe(-EEXIST);
    expect(rename('d/.', 'x')).toBe(-EBUSY);
    expect(rename('none', 'x')).toBe(-ENOENT);
    expect(rename('f', 'f')).toBe(0);
    expect(rename('d', 'f', 2)).toBe(0);
    expect(names(fs, 'f')).toEqual(['e']);
    fs.tree.assertInvariants();
  });
  test('hard links share contents, directories have none', () => {
    const fs = overlay({ d: {}, f: bytesOf('one') });
    const node = fs.lookup(fs.root, 'f', false);
    expect(typeof node !== 'number' && fs.link(node, fs.root, 'd/g')).toBe(0);
    open(fs, 'd/g', O_RDWR).writeAt(0, bytesOf('two'));
    expect(contents(fs, 'f')).toBe('two');
    const directory = fs.lookup(fs.root, 'd', false);
    expect(typeof directory !== 'number' && fs.link(directory, fs.root, 'x')).toBe(-EPERM);
  });
  test('files cannot take all of memory', () => {
    const fs = overlay(null, 8192);
    const file = open(fs, 'f', O_CREAT | O_RDWR);
    expect(file.writeAt(0, new Uint8Array(10000))).toBe(8192);
    expect(file.writeAt(8192, new Uint8Array(10))).toBe(-ENOSPC);
  });
  test('holes are found', () => {
    const fs = overlay();
    const file = open(fs, 'f', O_CREAT | O_RDWR);
    file.writeAt(3 * 4096, bytesOf('x'));
    file.truncate(10 * 4096);
    expect(file.contents?.nextData(0)).toBe(3 * 4096);
    expect(file.contents?.nextHole(3 * 4096)).toBe(4 * 4096);
    expect(file.contents?.nextData(5 * 4096)).toBe(10 * 4096);
  });
});

// --- against a model ------------------------------------------------------------------------------------------

/** The slow model: a tree of plain objects, every path resolved from scratch. */
type Model = { data: number[] } | { entries: Map<string, Model> } | { target: string };

class ModelFs {
  readonly root: Model = { entries: new Map() };

  /** Where a path ends: the directory, the last name and what is there. */
  resolve(
    path: string,
    follow: boolean,
    links = { left: 40 },
    base: Model[] = [this.root],
  ): { up: Model[]; name: string; node: Model | null } | number {
    const stack = [...base];
    const parts = path.split('/').filter((part) => part !== '');
    for (let i = 0; i < parts.length; i++) {
      const last = i === parts.length - 1;
      const at = stack[stack.length - 1];
      const name = parts[i] ?? '';
      if (!('entries' in at)) return -ENOTDIR;
      if (name === '..') {
        if (stack.length > 1) stack.pop();
        if (last) return { up: stack.slice(0, -1), name: '..', node: stack[stack.length - 1] ?? null };
        continue;
      }
      const node = at.entries.get(name) ?? null;
      if (node === null) return last ? { up: stack, name, node: null } : -ENOENT;
      if ('target' in node && (!last || follow)) {
        if (links.left-- === 0) return -ELOOP;
        return this.resolve([node.target, ...parts.slice(i + 1)].join('/'), follow, links, stack);
      }
      if (last) return { up: stack, name, node };
      if (!('entries' in node)) return -ENOTDIR;
      stack.push(node);
    }
    return -ENOENT;
  }
}

const path = fc.array(fc.constantFrom('a', 'b', 'c', 'd', '..'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const name = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
const operation = fc.oneof(
  fc.record({ do: fc.constant('create' as const), path: name }),
  fc.record({ do: fc.constant('mkdir' as const), path: name }),
  fc.record({ do: fc.constant('write' as const), path, at: fc.nat(9000), len: fc.nat(6000), byte: fc.nat(255) }),
  fc.record({ do: fc.constant('truncate' as const), path, size: fc.nat(12000) }),
  fc.record({ do: fc.constant('unlink' as const), path: name }),
  fc.record({ do: fc.constant('rmdir' as const), path: name }),
  fc.record({ do: fc.constant('link' as const), path: name, to: name }),
  fc.record({ do: fc.constant('symlink' as const), path: name, to: path }),
  fc.record({ do: fc.constant('rename' as const), path: name, to: name }),
  fc.record({ do: fc.constant('read' as const), path }),
  fc.record({ do: fc.constant('list' as const), path }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** What the model answers: an errno, contents, or names. */
function onModel(model: ModelFs, op: Operation): unknown {
  const follow = op.do === 'create' || op.do === 'write' || op.do === 'truncate' || op.do === 'read' || op.do === 'list';
  const place = model.resolve(op.path, follow);
  if (op.do === 'rename') return renameOnModel(model, op.path, op.to);
  if (typeof place === 'number') return place;
  const { node } = place;
  const holder = place.up[place.up.length - 1];
  const entries = holder !== undefined && 'entries' in holder ? holder.entries : null;
  switch (op.do) {
    case 'create':
    case 'mkdir':
    case 'symlink': {
      if (node !== null) return op.do !== 'create' ? -EEXIST : 'entries' in node ? -EISDIR : 0;
      const made: Model = op.do === 'create' ? { data: [] } : op.do === 'mkdir' ? { entries: new Map() } : { target: op.to };
      entries?.set(place.name, made);
      return 0;
    }
    case 'write': {
      if (node === null) return -ENOENT;
      if (!('data' in node)) return -EISDIR;
      while (node.data.length < (op.len === 0 ? 0 : op.at)) node.data.push(0);
      for (let i = 0; i < op.len; i++) node.data[op.at + i] = op.byte;
      return op.len;
    }
    case 'truncate': {
      if (node === null) return -ENOENT;
      if (!('data' in node)) return -EISDIR;
      node.data = node.data.slice(0, op.size);
      while (node.data.length < op.size) node.data.push(0);
      return 0;
    }
    case 'unlink':
      if (node === null) return -ENOENT;
      if ('entries' in node) return -EISDIR;
      entries?.delete(place.name);
      return 0;
    case 'rmdir':
      if (node === null) return -ENOENT;
      if (!('entries' in node)) return -ENOTDIR;
      if (node.entries.size > 0) return -ENOTEMPTY;
      entries?.delete(place.name);
      return 0;
    case 'link': {
      if (node === null) return -ENOENT;
      const to = model.resolve(op.to, false);
      if (typeof to === 'number') return to;
      if (to.node !== null) return -EEXIST;
      if ('entries' in node) return -EPERM;
      const target = to.up[to.up.length - 1];
      if (target !== undefined && 'entries' in target) target.entries.set(to.name, node);
      return 0;
    }
    case 'read':
      if (node === null) return -ENOENT;
      return 'data' in node ? latin1(Uint8Array.from(node.data)) : -EISDIR;
    default: // list
      if (node === null) return -ENOENT;
      return 'entries' in node ? [...node.entries.keys()].sort() : -ENOTDIR;
  }
}

function renameOnModel(model: ModelFs, from: string, to: string): number {
  const [source, target] = [model.resolve(from, false), model.resolve(to, false)];
  if (typeof source === 'number') return source;
  if (typeof target === 'number') return target;
  if (source.node === null) return -ENOENT;
  const [a, b] = [source.up[source.up.length - 1], target.up[target.up.length - 1]];
  if (a === undefined || b === undefined || !('entries' in a) || !('entries' in b)) return -EBUSY;
  if (target.up.includes(source.node)) return -EINVAL;
  if (target.node !== null && source.up.includes(target.node)) return -ENOTEMPTY;
  if (source.node === target.node) return 0;
  if (target.node !== null) {
    if ('entries' in source.node && !('entries' in target.node)) return -ENOTDIR;
    if (!('entries' in source.node) && 'entries' in target.node) return -EISDIR;
    if ('entries' in target.node && target.node.entries.size > 0) return -ENOTEMPTY;
  }
  a.entries.delete(source.name);
  b.entries.set(target.name, source.node);
  return 0;
}

function onOverlay(fs: FileSystem, op: Operation): unknown {
  switch (op.do) {
    case 'create': {
      const file = fs.open(fs.root, op.path, O_CREAT | O_RDWR, 0o644);
      return typeof file === 'number' ? file : 0;
    }
    case 'mkdir':
      return fs.mkdir(fs.root, op.path, 0o755);
    case 'write': {
      const file = fs.open(fs.root, op.path, O_RDWR, 0);
      return typeof file === 'number' ? file : file.writeAt(op.at, new Uint8Array(op.len).fill(op.byte));
    }
    case 'truncate': {
      const node = fs.lookup(fs.root, op.path, true);
      return typeof node === 'number' ? node : fs.truncate(node, op.size);
    }
    case 'unlink':
      return fs.unlink(fs.root, op.path);
    case 'rmdir':
      return fs.rmdir(fs.root, op.path);
    case 'link': {
      const node = fs.lookup(fs.root, op.path, false);
      return typeof node === 'number' ? node : fs.link(node, fs.root, op.to);
    }
    case 'symlink':
      return fs.symlink(op.to, fs.root, op.path);
    case 'rename':
      return fs.rename({ base: fs.root, path: op.path }, { base: fs.root, path: op.to }, 0);
    case 'read':
      return contents(fs, op.path);
    default: // list
      return names(fs, op.path);
  }
}

/** The same tree for both: as the layer below the overlay, and as the model's start. */
const START: Below = { a: { a: bytesOf('aa'), b: { c: new Uint8Array(9000).fill(66) } }, b: bytesOf('hello'), c: 'a/b', d: '../a' };

function toModel(below: Below): Model {
  if (below instanceof Uint8Array) return { data: [...below] };
  if (typeof below === 'string') return { target: below };
  return { entries: new Map(Object.entries(below).map(([key, value]) => [key, toModel(value)])) };
}

test.each([
  ['over nothing', {} as Below],
  ['over a layer', START],
])('the overlay agrees with the model, %s', (_what, start) => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const fs = overlay(start);
      const model = new ModelFs();
      const begin = toModel(start);
      if ('entries' in begin && 'entries' in model.root) for (const [key, value] of begin.entries) model.root.entries.set(key, value);
      for (const op of operations) expect([op, onOverlay(fs, op)]).toEqual([op, onModel(model, op)]);
      fs.tree.assertInvariants();
    }),
    { numRuns: 200 },
  );
});

test('a listing begun before removals is not upset by them', () => {
  const fs = overlay({ d: { a: bytesOf(''), b: bytesOf(''), c: bytesOf('') } });
  const file = open(fs, 'd', O_DIRECTORY);
  expect(file.names()).toEqual(['a', 'b', 'c']);
  file.offset = 3;
  fs.unlink(fs.root, 'd/a');
  expect(file.names()).toEqual(['a', 'b', 'c']);
  file.offset = 0;
  expect(file.names()).toEqual(['b', 'c']);
});

test('an inode keeps its number under another name', () => {
  const fs = overlay({ f: bytesOf('x') });
  const node = fs.lookup(fs.root, 'f', false) as Inode;
  fs.rename({ base: fs.root, path: 'f' }, { base: fs.root, path: 'g' }, 0);
  expect((fs.lookup(fs.root, 'g', false) as Inode).ino).toBe(node.ino);
});

test('names are bounded as inodes are: one file cannot be linked without end', () => {
  const fs = new FileSystem({ provider: null, now: () => ({ seconds: 5, nanoseconds: 0 }), inodesMax: 20 });
  const { node } = open(fs, '/f', O_CREAT | O_RDWR);
  let made = 0;
  while (fs.link(node, fs.root, `/link${made}`) === 0) made++;
  expect([made, fs.link(node, fs.root, '/one'), fs.mkdir(fs.root, '/two', 0o755)]).toEqual([38, -ENOSPC, -ENOSPC]); // f and tmp are names too
  expect(fs.rename({ base: fs.root, path: '/link0' }, { base: fs.root, path: '/three' }, 0)).toBe(0);
  expect([fs.unlink(fs.root, '/three'), fs.link(node, fs.root, '/four')]).toEqual([0, 0]);
  fs.tree.assertInvariants();
});
