/** What the documents name is there: files of the way of a page fault, npm scripts, layouts. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { layoutByName } from '../hostkernel/machine/index.ts';

const text = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const exists = (path: string): boolean => existsSync(new URL(`../${path}`, import.meta.url));

test('every file that docs/architecture.md names exists', () => {
  const rooms = ['', 'hostkernel/', 'vkernel/', 'userland/'];
  for (const line of text('docs/architecture.md').split('\n')) {
    const named = [...line.matchAll(/`([\w./-]+\.(?:ts|c|json))`/g)].map((match) => match[1] as string);
    const folders = [...line.matchAll(/`([\w-]+(?:\/[\w-]+)+)(?:`|\/[\w-]+\.ts)/g)].map((match) => `${match[1]}/`);
    for (const name of named) {
      const places = [...rooms, ...folders, ...folders.flatMap((folder) => rooms.map((room) => `${room}${folder}`))];
      expect(
        places.some((place) => exists(`${place}${name}`)),
        `${name} in: ${line}`,
      ).toBe(true);
    }
  }
});

test('every script and layout that the README names exists', () => {
  const readme = text('README.md');
  const scripts = (JSON.parse(text('package.json')) as { scripts: Record<string, string> }).scripts;
  for (const [, script] of readme.matchAll(/npm run (\w+)/g)) expect(Object.keys(scripts)).toContain(script);
  for (const [, name] of readme.matchAll(/--(?:mmu|vpte) ([a-z][\w-]+)(?![\w.-])/g)) {
    expect(layoutByName(name as string), name as string).not.toBeNull();
  }
  for (const [, program] of readme.matchAll(/(userland\/programs\/[\w./-]+)/g))
    expect(exists((program as string).replace(/\.$/, ''))).toBe(true);
});
