/**
 * docs/layouts.md, docs/lab.md and the README's comparison, run: the files they show are written, their commands are called
 * one after the other, and what they say is what is said there. A line `...` stands for any lines.
 *
 *   ```console          word for word
 *   ```console shape    but for the numbers
 *   ```console fewer    the same, of runs with fewer accesses than shown: the whole takes too long for a test
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandFolder } from './command.ts';

type Manner = 'exact' | 'shape' | 'fewer';

interface Session {
  readonly command: string;
  readonly manner: Manner;
  readonly expected: readonly string[];
}

interface Document {
  readonly files: readonly { readonly name: string; readonly body: string }[];
  readonly sessions: readonly Session[];
}

/** A file shown, and a session: of a document, what is to be written and run. */
const FILE = /^```\w+ title=(\S+)\n(.*?)^```$/gms;
const SESSION = /^```console *(\w*)\n(.*?)^```$/gms;

function documentAt(path: string): Document {
  const text = readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
  return {
    files: [...text.matchAll(FILE)].map(([, name, body]) => ({ name: name as string, body: body as string })),
    sessions: [...text.matchAll(SESSION)].flatMap(([, manner, body]) =>
      (body as string)
        .split(/^\$ /m)
        .slice(1)
        .map((part): Session => {
          const [command, ...expected] = part.trimEnd().split('\n');
          return { command: command as string, manner: (manner || 'exact') as Manner, expected };
        }),
    ),
  };
}

const PROGRAMS = ['hello-rv64', 'tables-rv64'];
/** What is said while a command takes its time. */
const PROGRESS = /^vkernel: \d+ of \d+ \w+, about \d+ s left$/;

/** A command with fewer accesses and less memory: the last of two equal options counts. */
function quicker(command: string): string {
  const warmUp = command.includes('--warm-up') ? ' --warm-up 100' : '';
  return command
    .replace(/\blab (?:compare|sweep)\b.*/, (whole) => `${whole} --accesses 300${warmUp} --footprint 4M`)
    .replace(/\blab sweep\b.*/, (whole) => `${whole} --workers 1`);
}

/** A line without its numbers and the width of its columns. */
function shape(line: string): string {
  return line.replace(/[+-]?\d[\d,.]*/g, '#').replace(/ +/g, ' ');
}

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

async function check(folder: CommandFolder, { command, manner, expected }: Session): Promise<void> {
  const { output } = await folder.run((manner === 'fewer' ? quicker(command) : command).replaceAll('npx vkernel', 'vkernel'));
  const said = output === '' ? [] : output.trimEnd().split('\n');
  const lines = said.filter((line) => !PROGRESS.test(line));
  const [ours, theirs] = manner === 'exact' ? [lines, expected] : [lines.map(shape), expected.map(shape)];
  expect(matches(ours, theirs) ? theirs : ours).toEqual(theirs);
}

function describeDocument(path: string, files: readonly string[], commands: readonly string[]): void {
  describe(path, () => {
    const document = documentAt(path);
    let folder: CommandFolder;
    beforeAll(async () => {
      folder = await CommandFolder.create(PROGRAMS);
      for (const { name, body } of document.files) folder.write(name, body);
    });
    afterAll(() => folder.remove());

    test('has its files, and shows all commands', () => {
      expect(document.files.map(({ name }) => name)).toEqual(files);
      for (const command of commands) expect(document.sessions.some((session) => session.command.includes(command))).toBe(true);
    });
    // One after the other: a command uses what those before it wrote.
    test.each(document.sessions)('$command', (session) => check(folder, session));
  });
}

describeDocument(
  'docs/layouts.md',
  ['study-16k.toml', 'plain-39.toml'],
  ['layouts check', 'layouts show', 'layouts vectors', 'layouts test', 'walk --layout', 'walk --va', 'host --vpte', 'demo --mmu'],
);
describeDocument(
  'docs/lab.md',
  ['bare.toml', 'wide-39.toml', 'small-core.toml', 'own.mjs'],
  ['lab compare', 'lab machines', 'lab live', 'lab sweep', 'lab merge', 'lab report', 'lab diff', '--trace -'],
);
describeDocument('README.md', [], ['npx vkernel lab compare']);
