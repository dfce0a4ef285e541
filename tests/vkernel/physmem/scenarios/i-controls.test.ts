/** Section I: memory controls. */

import { expect, test } from 'vitest';
import { ENOMEM, EPERM } from '../../../../hostkernel/base/errno.ts';
import { principalAccount } from '../../../../vkernel/physmem/core/control.ts';
import { ALL_OR_NONE, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { filled, finish, setup } from './setup.ts';

test('I-1 I-2 splitting 100, then 10; a used limit cannot be split', () => {
  const { machine } = setup({ pages: 1000 });
  const { physmem } = machine;
  const a = physmem.splitControl(physmem.root, 100);
  const b = a === null ? null : physmem.splitControl(a, 10);
  expect([a?.limit, b?.limit, physmem.root.limit]).toEqual([90, 10, 900]);
  if (a === null) return;
  expect(physmem.splitControl(a, 91)).toBe(null);
  for (const count of [-1, 0.5, 2 ** 60]) expect(physmem.splitControl(a, count)).toBe(null);
  machine.allocate(machine.create(a), 0, 85);
  expect(physmem.splitControl(a, 6)).toBe(null);
  expect(physmem.splitControl(a, 5)?.limit).toBe(5);
  expect(physmem.splitControl(a, 0)?.limit).toBe(0);
  finish(machine);
});
test('I-3 the eleventh page of ten is ENOMEM', () => {
  const { machine, amount } = setup();
  const b = machine.physmem.splitControl(machine.physmem.root, 10);
  if (b === null) throw new Error('split');
  const container = machine.create(b);
  expect(machine.allocate(container, 0, 10)).toBe(0);
  expect([machine.allocate(container, 10, 1), amount()]).toEqual([ENOMEM, 0]);
  finish(machine);
});
test('I-4 destroying a control destroys everything below; the limit returns', () => {
  const { machine } = setup({ pages: 1000 });
  const { physmem } = machine;
  let control = physmem.root;
  const containers = [];
  for (const pages of [100, 50, 20]) {
    const child = physmem.splitControl(control, pages);
    if (child === null) throw new Error('split');
    control = child;
    const container = machine.create(control);
    machine.allocate(container, 0, 8);
    machine.write(container, 0, 1);
    containers.push(container);
  }
  const top = [...physmem.root.children][0];
  expect(physmem.destroyControl(top)).toBe(0);
  expect([physmem.root.limit, machine.use, containers.some((each) => each.alive), machine.retired.length]).toEqual([1000, 0, false, 6]);
  expect(physmem.destroyControl(physmem.root)).toBe(EPERM);
  finish(machine);
});
test('a chain of a hundred thousand controls, split from each other for nothing, is counted and destroyed', () => {
  const { machine } = setup();
  const { physmem } = machine;
  const { limit } = physmem.root;
  let control = physmem.root;
  for (let depth = 0; depth < 100_000; depth += 1) control = physmem.splitControl(control, depth === 0 ? 10 : 0) ?? control;
  const top = [...physmem.root.children][0];
  expect(principalAccount(control).guaranteed).toBe(10);
  expect(physmem.destroyControl(top)).toBe(0);
  expect([physmem.root.limit, control.alive, machine.retired.length]).toEqual([limit, false, 100_000]);
  finish(machine);
});
test('I-5 absorbing what is unused', () => {
  const { machine } = setup();
  const { physmem } = machine;
  const child = physmem.splitControl(physmem.root, 10);
  if (child === null) throw new Error('split');
  machine.allocate(machine.create(child), 0, 6);
  expect(physmem.absorbControl(child, 5)).toBe(ENOMEM);
  expect([physmem.absorbControl(child, 4), child.limit]).toEqual([0, 6]);
  expect(physmem.absorbControl(physmem.root, 0)).toBe(EPERM);
  finish(machine);
});
test('I-6 I-7 a copy charges though use does not grow; two containers add up in one control', () => {
  const { machine } = setup();
  const a = filled(machine, 8);
  const b = machine.create();
  machine.copy(a, 0, b, 0, 8);
  expect([machine.physmem.root.used, machine.use]).toEqual([16, 8]);
  machine.deallocate(b, 0, 8);
  expect(machine.physmem.root.used).toBe(8);
  finish(machine);
});
test('a copy beyond the limit of the destination is ENOMEM, as far as it goes', () => {
  const { machine, amount } = setup();
  const a = filled(machine, 8);
  const poor = machine.physmem.splitControl(machine.physmem.root, 5);
  if (poor === null) throw new Error('split');
  const b = machine.create(poor);
  expect([machine.copy(a, 0, b, 0, 8, ALL_OR_NONE), amount()]).toEqual([ENOMEM, 0]);
  expect([machine.copy(a, 0, b, 0, 8), amount()]).toEqual([ENOMEM, 5]);
  expect([machine.copy(a, 3, b, 0, 5, SQUASH), amount()]).toEqual([0, 5]);
  expect(machine.values(b, 0, 5)).toEqual([13, 14, 15, 16, 17]);
  finish(machine);
});
test('the account of a principal covers its subtree', () => {
  const { machine } = setup({ pages: 1000 });
  const { physmem } = machine;
  const principal = physmem.splitControl(physmem.root, 100);
  const child = principal === null ? null : physmem.splitControl(principal, 30);
  if (principal === null || child === null) throw new Error('split');
  machine.allocate(machine.create(child), 0, 7);
  machine.allocate(machine.create(principal), 0, 5);
  expect(principalAccount(child)).toEqual({ guaranteed: 100, allocated: 12, extra: 0 });
  finish(machine);
});
