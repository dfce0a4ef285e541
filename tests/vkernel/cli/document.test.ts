/**
 * docs/layouts.md, run: the files it shows are written, its commands are called one after the other, and what they say
 * is what it says. A line `...` stands for any lines.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandFolder } from './command.ts';

interface Session {
  readonly command: string;
  readonly expected: readonly string[];
}

const text = readFileSync(new URL('../../../docs/layouts.md', import.meta.url), 'utf8');
const files = [...text.matchAll(/^```toml title=(\S+)\n(.*?)^```$/gms)].map(([, name, body]) => ({ name, body }));
const sessions: readonly Session[] = [...text.matchAll(/^```console\n(.*?)^```$/gms)].flatMap(([, body]) =>
  (body as string)
    .split(/^\$ /m)
    .slice(1)
    .map((part): Session => {
      const [command, ...expected] = part.trimEnd().split('\n');
      return { command: command as string, expected };
    }),
);

let folder: CommandFolder;
beforeAll(async () => {
  folder = await CommandFolder.create(['hello-rv64', 'tables-rv64']);
  for (const { name, body } of files) folder.write(name as string, body as string);
});
afterAll(() => folder.remove());

/** Whether `lines` are the expected ones, where `...` stands for any. */
function matches(lines: readonly string[], expected: readonly string[]): boolean {
  if (expected.length === 0) return lines.length === 0;
  const [first, ...rest] = expected;
  if (first === '...') return lines.some((_, i) => matches(lines.slice(i), rest)) || matches([], rest);
  if (lines.length === 0) return false;
  const [start, end] = (first as string).split('...');
  const line = lines[0] as string;
  const fits = end === undefined ? line === first : line.startsWith(start as string) && line.endsWith(end);
  return fits && matches(lines.slice(1), rest);
}

test('the document has two layouts and shows all commands', () => {
  expect(files.map(({ name }) => name)).toEqual(['study-16k.toml', 'plain-39.toml']);
  for (const command of [
    'layouts check',
    'layouts show',
    'layouts vectors',
    'layouts test',
    'walk --layout',
    'walk --va',
    'host --vpte',
    'demo --mmu',
  ])
    expect(sessions.some((session) => session.command.includes(command))).toBe(true);
});

// One after the other: a command uses what those before it wrote.
test.each(sessions)('$command', async ({ command, expected }) => {
  const { output } = await folder.run(command);
  const lines = output === '' ? [] : output.trimEnd().split('\n');
  expect(matches(lines, expected) ? expected : lines).toEqual(expected);
});
