/** The committed programs are what they claim to be: checksums, and a rebuild where the compiler is on this machine. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const FOLDER = new URL('../../userland/programs/', import.meta.url);
const sums = new Map(
  readFileSync(new URL('elf/SHA256SUMS', FOLDER), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('  ./').reverse() as [string, string]),
);

test('every built program has a source, and every source both builds', () => {
  const sources = readdirSync(FOLDER).filter((name) => name.endsWith('.c'));
  const expected = sources.flatMap((name) => [`${name.slice(0, -2)}-rv32`, `${name.slice(0, -2)}-rv64`]);
  expect([...sums.keys()].sort()).toEqual(expected.sort());
  expect(readdirSync(new URL('elf/', FOLDER)).sort()).toEqual([...expected, 'SHA256SUMS'].sort());
});

test('the built programs have their recorded checksums', () => {
  for (const [name, sum] of sums) {
    const bytes = readFileSync(new URL(`elf/${name}`, FOLDER));
    expect(createHash('sha256').update(bytes).digest('hex'), name).toBe(sum);
  }
});

const zig = process.env['ZIG'] ?? 'zig';
const compilerIsHere = spawnSync(zig, ['version'], { encoding: 'utf8' }).stdout?.trim() === '0.16.0';

test.runIf(compilerIsHere)('a rebuild gives the committed bytes', { timeout: 300_000 }, () => {
  const said = execFileSync(new URL('build.sh', FOLDER).pathname, ['--check'], { encoding: 'utf8', env: { ...process.env, ZIG: zig } });
  expect(said).toContain('the committed programs are what the sources build');
});
