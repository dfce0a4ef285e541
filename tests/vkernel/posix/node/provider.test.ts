import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, linkSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EACCES, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR } from '../../../../hostkernel/base/errno.ts';
import { directoryProvider, readHostFile } from '../../../../vkernel/posix/node/provider.ts';
import { FileSystem } from '../../../../vkernel/posix/vfs/filesystem.ts';
import { byteString, type FileProvider, latin1 } from '../../../../vkernel/posix/vfs/provider.ts';

let outside = '';
let root = '';
let provider: FileProvider;

beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'vkernel-provider-'));
  root = join(outside, 'root');
  mkdirSync(join(root, 'd'), { recursive: true });
  writeFileSync(join(outside, 'secret'), 'secret');
  writeFileSync(join(root, 'd', 'f'), 'contents');
  writeFileSync(join(root, 'größe'), 'x');
  symlinkSync('../secret', join(root, 'up'));
  symlinkSync(outside, join(root, 'abs'));
  const made = directoryProvider(root);
  if (typeof made === 'number') throw new Error(`${made}`);
  provider = made;
});
afterEach(() => rmSync(outside, { recursive: true }));

test('it shows files, directories and links as they are', () => {
  expect(provider.stat('d')).toMatchObject({ kind: 'directory' });
  expect(provider.stat('d/f')).toMatchObject({ kind: 'file', size: 8 });
  expect(provider.stat('up')).toMatchObject({ kind: 'symlink' });
  expect(provider.readlink('up')).toBe('../secret');
  const names = provider.list('');
  expect(typeof names !== 'number' && [...names].sort()).toEqual(['abs', 'd', byteString('größe'), 'up'].sort());
  const into = new Uint8Array(20);
  expect(provider.readFile('d/f', 3, into)).toBe(5);
  expect(latin1(into.subarray(0, 5))).toBe('tents');
  expect(provider.stat(byteString('größe'))).toMatchObject({ kind: 'file' });
});

test('errors are errnos', () => {
  expect(provider.stat('none')).toBe(-ENOENT);
  expect(provider.stat('d/f/x')).toBe(-ENOTDIR);
  expect(provider.list('d/f')).toBe(-ENOTDIR);
  expect(provider.readlink('d')).toBe(-EINVAL);
  expect(provider.readFile('d', 0, new Uint8Array(4))).toBeLessThan(0);
  expect(directoryProvider(join(root, 'd', 'f'))).toBe(-ENOTDIR);
  expect(directoryProvider(join(root, 'none'))).toBe(-ENOENT);
  expect(readHostFile(root)).toBe(-EISDIR);
  expect(readHostFile(join(root, 'none'))).toBe(-ENOENT);
  expect(readHostFile('/dev/zero')).toBe(-EACCES);
});

test('it never leaves its directory', () => {
  expect(provider.stat('../secret')).toBe(-EINVAL);
  expect(provider.stat('d/../../secret')).toBe(-EINVAL);
  expect(provider.readFile('up', 0, new Uint8Array(4))).toBe(-ELOOP);
  expect(provider.stat('abs/secret')).toBe(-ELOOP);
  expect(provider.readFile('abs/secret', 0, new Uint8Array(4))).toBe(-ELOOP);
  expect(provider.list('abs')).toBe(-ENOTDIR);
});

test('not even when a directory becomes a link meanwhile', () => {
  expect(provider.stat('d')).toMatchObject({ kind: 'directory' });
  renameSync(join(root, 'd'), join(root, 'gone'));
  symlinkSync(outside, join(root, 'd'));
  expect(provider.stat('d/secret')).toBe(-ELOOP);
});

test('through the overlay a link leads to the same path inside', () => {
  const fs = new FileSystem({ provider, now: () => ({ seconds: 0, nanoseconds: 0 }) });
  expect(fs.lookup(fs.root, 'up', true)).toBe(-ENOENT);
  expect(fs.lookup(fs.root, 'abs/secret', true)).toBe(-ENOENT);
  expect(fs.lookup(fs.root, '../../../../secret', true)).toBe(-ENOENT);
});

test('hard links below are one inode', () => {
  linkSync(join(root, 'd', 'f'), join(root, 'g'));
  const fs = new FileSystem({ provider, now: () => ({ seconds: 0, nanoseconds: 0 }) });
  expect(fs.lookup(fs.root, 'g', true)).toBe(fs.lookup(fs.root, 'd/f', true));
});
