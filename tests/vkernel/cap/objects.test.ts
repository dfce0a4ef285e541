import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EINVAL } from '../../../hostkernel/base/errno.ts';
import { HANDLES_32, HANDLES_64, ObjectTable } from '../../../vkernel/cap/objects.ts';

interface Thing {
  readonly name: string;
}
const thing = (name: string): Thing => ({ name });

function setup(format = HANDLES_64) {
  const gone: string[] = [];
  const table = new ObjectTable<Thing>(format, (object) => gone.push(object.name));
  return { table, gone };
}

test('a handle is client index and object index, both from 1: 14 and 18 bits, or 32 and 32', () => {
  for (const [format, handle] of [
    [HANDLES_32, 786_437],
    [HANDLES_64, 12_884_901_893],
  ] as const) {
    const { table } = setup(format);
    for (const task of [11, 12]) table.grant(task, 'thing', thing('first'));
    for (let i = 1; i < 5; i += 1) table.grant(13, 'thing', thing(`${i}`));
    expect(table.grant(13, 'thing', thing('fifth of the third client'))).toBe(handle);
  }
});

test('a handle works for its task only, and handle 0 for nobody', () => {
  const { table } = setup();
  const handle = table.grant(7, 'thing', thing('a'));
  expect(table.lookup(handle, 7)?.served.value.name).toBe('a');
  for (const [forged, task] of [
    [handle, 8],
    [0, 7],
    [handle + 1, 7],
    [handle + 2 ** 32, 7],
    [handle - 2 ** 32, 7],
    [-1, 7],
    [2 ** 63, 7],
    [handle + 0.5, 7],
  ]) {
    expect(table.lookup(forged, task)).toBe(null);
  }
});

test('the same object is the same handle, counted', () => {
  const { table, gone } = setup();
  const a = thing('a');
  const handle = table.grant(7, 'thing', a);
  expect(table.grant(7, 'thing', a)).toBe(handle);
  const entry = table.lookup(handle, 7);
  if (entry === null) throw new Error('entry');
  expect([table.release(entry, 3), table.release(entry, 0), table.release(entry, 1.5)]).toEqual([EINVAL, EINVAL, EINVAL]);
  expect([table.release(entry, 1), gone]).toEqual([0, []]);
  expect([table.release(entry, 1), gone]).toEqual([0, ['a']]);
  expect(table.lookup(handle, 7)).toBe(null);
});

test('the lowest free index is given out again', () => {
  const { table } = setup();
  const handles = ['a', 'b', 'c', 'd'].map((name) => table.grant(7, 'thing', thing(name)));
  for (const i of [2, 1]) {
    const entry = table.lookup(handles[i], 7);
    if (entry !== null) table.release(entry, 1);
  }
  expect(['e', 'f', 'g'].map((name) => table.grant(7, 'thing', thing(name)))).toEqual([handles[1], handles[2], handles[3] + 1]);
});

test('revoking marks every handle dead until its holder releases it', () => {
  const { table, gone } = setup();
  const a = thing('a');
  const handles = [table.grant(7, 'thing', a), table.grant(8, 'thing', a)];
  table.revoke(a);
  table.assertInvariants();
  expect([table.lookup(handles[0], 7)?.dead, table.lookup(handles[1], 8)?.dead, table.entryCount]).toEqual([true, true, 2]);
  const again = table.grant(7, 'thing', a);
  expect(again).not.toBe(handles[0]);
  const dead = table.lookup(handles[0], 7);
  if (dead !== null) table.release(dead, 1);
  table.releaseTask(8);
  table.assertInvariants();
  expect([gone, table.entryCount]).toEqual([[], 1]);
});

test('when a task dies its objects are unreferenced, unless another holds them', () => {
  const { table, gone } = setup();
  const [a, b] = [thing('a'), thing('b')];
  table.grant(7, 'thing', a);
  table.grant(7, 'thing', b);
  table.grant(8, 'thing', b);
  table.releaseTask(7);
  table.releaseTask(99);
  table.assertInvariants();
  expect([gone, table.entryCount]).toEqual([['a'], 1]);
});

test('a full table gives handle 0', () => {
  const { table } = setup({ clientBits: 1, objectBits: 2 });
  expect(['a', 'b', 'c', 'd'].map((name) => table.grant(7, 'thing', thing(name)))).toEqual([5, 6, 7, 0]);
  expect(table.grant(8, 'thing', thing('e'))).toBe(0);
  table.assertInvariants();
});

test('any order of grants, releases, revocations and deaths keeps the tables sound', () => {
  const anyStep = fc.tuple(fc.constantFrom('grant', 'grant', 'grant', 'release', 'revoke', 'death'), fc.nat(3), fc.nat(9));
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 80 }), (steps) => {
      const { table, gone } = setup();
      const things = Array.from({ length: 10 }, (_, i) => thing(`${i}`));
      const handles = new Map<string, number>();
      for (const [step, task, i] of steps) {
        const key = `${task} ${i}`;
        const entry = table.lookup(handles.get(key) ?? 0, task);
        if (step === 'grant') handles.set(key, table.grant(task, 'thing', things[i]));
        else if (step === 'revoke') table.revoke(things[i]);
        else if (step === 'death') table.releaseTask(task);
        else if (entry !== null) table.release(entry, entry.references);
        table.assertInvariants();
        const now = table.lookup(handles.get(key) ?? 0, task);
        if (step === 'grant') expect([now?.dead, now?.served.value]).toEqual([false, things[i]]);
      }
      for (let task = 0; task < 4; task += 1) table.releaseTask(task);
      expect(table.entryCount).toBe(0);
      expect(gone.length).toBeLessThanOrEqual(steps.length);
    }),
  );
});
