/** Sections O and J at the core: memory received at boot, and as much memory as is charged. */

import { expect, test } from 'vitest';
import { EEXIST, ENOENT } from '../../../../hostkernel/base/errno.ts';
import type { GuestFrame } from '../../../../hostkernel/base/units.ts';
import { isCopyOnWrite } from '../../../../vkernel/physmem/core/frame-table.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { map } from '../../../../vkernel/physmem/core/map.ts';
import { LAZY, MAP_EXECUTE, MAP_READ, MAP_WRITE, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { Items, Machine, P } from '../machine.ts';
import { filled, finish, RW, setup } from './setup.ts';

test('O1 page 0 is kept, blocks of a module keep their contents and their distance, and all is accounted for', () => {
  const machine = new Machine({
    memory: [
      [0, 8],
      [40, 24],
    ],
  });
  const { physmem } = machine;
  machine.contents.set(16, 160).set(17, 170).set(20, 200);
  const block = (frame: number, pages: number) => ({ frame: frame as GuestFrame, pages });
  const module = physmem.createFromMemory(physmem.root, [block(16, 2), block(20, 1)]);
  if (module === null) throw new Error('module');
  expect(machine.values(module, 0, 5)).toEqual([160, 170, '-', '-', 200]);
  expect([physmem.receivedPages, physmem.fixedPages, machine.use, physmem.root.limit, physmem.root.used]).toEqual([35, 1, 3, 34, 3]);
  expect(physmem.createFromMemory(physmem.root, [block(24, 1), block(16, 1)])).toBe(null);
  expect(physmem.createFromMemory(physmem.root, [block(0, 1)])).toBe(null);
  expect(physmem.createFromMemory(physmem.root, [block(26, 4)])).toBe(null);
  finish(machine);
});
test('O3 ten copies of a thousand single pages, a tenth of each written', () => {
  const { machine } = setup({ pages: 12_000 });
  const parent = machine.create();
  for (let page = 0; page < 1000; page += 1) {
    machine.allocate(parent, page, 1);
    map(machine.physmem, parent, RW, page * P, page * P, P, new Items());
  }
  for (let i = 0; i < 10; i += 1) {
    const child = machine.create();
    expect(machine.copy(parent, 0, child, 0, 1000)).toBe(0);
    for (let page = i; page < 1000; page += 10) map(machine.physmem, child, RW, page * P, page * P, P, new Items());
  }
  expect([machine.use, machine.physmem.counters.copies]).toEqual([2000, 1000]);
  finish(machine);
});
test('O4 fifty tasks map one text; half of them end lazily without a flush, and the others keep reading', () => {
  const TEXT = 256;
  const { machine } = setup({ pages: 2 ** 14 }); // each task is charged for what it sees
  const text = filled(machine, TEXT);
  const { physmem } = machine;
  const tasks = Array.from({ length: 50 }, () => machine.create());
  for (const task of tasks) expect(machine.copy(text, 0, task, 0, TEXT)).toBe(0);
  for (const task of tasks) expect(machine.map(task, MAP_READ | MAP_EXECUTE, 0, TEXT).error).toBe(0);
  expect(machine.use).toBe(TEXT);
  const { flushes } = physmem.counters;
  for (const task of tasks.slice(0, 25)) expect(machine.deallocate(task, 0, TEXT, LAZY)).toBe(0);
  expect([physmem.counters.flushes - flushes, machine.use]).toEqual([0, TEXT]);
  const { maps } = physmem.counters;
  for (const task of tasks.slice(25)) expect([machine.read(task, 0), machine.read(task, TEXT - 1)]).toEqual([10, 10 + TEXT - 1]);
  expect(physmem.counters.maps).toBe(maps); // none of them had to ask again
  expect(machine.write(text, 0, 99)).toBe(0); // now those who ended may not go on reading
  for (const task of tasks.slice(0, 25)) expect(machine.read(task, 0)).toBe(-ENOENT);
  for (const task of tasks.slice(25)) expect(machine.read(task, 0)).toBe(10);
  finish(machine);
});
test('J18 with as much memory as is charged, writes that break copies never fail', () => {
  const machine = new Machine({ memory: [[1, 64]], copyPages: 8 });
  const containers = [filled(machine, 16), machine.create(), machine.create(), machine.create()];
  for (let i = 1; i < 4; i += 1) machine.copy(containers[i - 1], 0, containers[i], 0, 16);
  expect(machine.physmem.root.unused).toBe(0);
  for (let i = 0; i < 500; i += 1) {
    const container = containers[(i * 7) % 4];
    const page = (i * 11) % 16;
    expect(machine.write(container, page, 1000 + i)).toBe(0);
    if (i % 25 !== 24) continue;
    machine.deallocate(containers[(i + 1) % 4], 0, 16); // give it up, and copy a neighbour anew
    expect(machine.copy(container, 0, containers[(i + 1) % 4], 0, 16, SQUASH)).toBe(container === containers[(i + 1) % 4] ? EEXIST : 0);
    if (container === containers[(i + 1) % 4]) machine.allocate(container, 0, 16);
  }
  assertInvariants(machine.physmem);
  finish(machine);
});
test('no frame that copies share is granted writable', () => {
  const { machine } = setup();
  const a = filled(machine, 4);
  const b = machine.create();
  machine.copy(a, 1, b, 0, 2);
  const { table } = machine.physmem;
  const frame = machine.frameAt(a, 0);
  expect([isCopyOnWrite(table, frame), table.granted[frame] & MAP_WRITE]).toEqual([true, 0]);
  finish(machine);
});
