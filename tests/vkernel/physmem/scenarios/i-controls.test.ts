/** Section I: memory controls. */

import { describe, expect, test } from 'vitest';
import { ENOMEM, EPERM } from '../../../../hostkernel/base/errno.ts';
import { admitsDescriptor } from '../../../../vkernel/physmem/core/admission.ts';
import { abandonControl, principalAccount, sumOf } from '../../../../vkernel/physmem/core/control.ts';
import { assertInvariants } from '../../../../vkernel/physmem/core/invariants.ts';
import { ALL_OR_NONE, SQUASH } from '../../../../vkernel/physmem/interface.ts';
import { Random } from '../../../fuzz/random.ts';
import { PolicyRig } from '../policy-rig.ts';
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
test('I-8 splitting, absorbing, destroying and abandoning move limits; their sum is the memory received', () => {
  const random = new Random(8, 0);
  for (let life = 0; life < 20; life += 1) {
    const { machine } = setup({ pages: 64 });
    const { physmem } = machine;
    const controls = [physmem.root];
    for (let step = 0; step < 60; step += 1) {
      const control = random.pick(controls);
      switch (random.below(6)) {
        case 0:
        case 1: {
          const child = physmem.splitControl(control, random.below(20), random.below(5));
          if (child !== null) controls.push(child);
          break;
        }
        case 2:
          physmem.absorbControl(control, random.below(10));
          break;
        case 3:
          machine.allocate(machine.create(control), 0, random.between(1, 8));
          break;
        case 4:
          abandonControl(physmem, control);
          break;
        default:
          if (random.oneIn(3)) physmem.destroyControl(control);
          else for (const container of control.containers) physmem.destroy(container);
      }
      expect(sumOf(physmem.root, (each) => each.limit)).toBe(64);
      assertInvariants(physmem);
      controls.splice(0, controls.length, ...controls.filter((each) => each.alive && !each.abandoned));
    }
    finish(machine);
  }
});

describe('when the last task that held a control has died', () => {
  test('an empty one ends, and those above it that were only waiting for it', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const a = physmem.splitControl(physmem.root, 100, 6);
    const b = a === null ? null : physmem.splitControl(a, 40, 7);
    if (a === null || b === null) throw new Error('split');
    abandonControl(physmem, a);
    expect([a.alive, a.limit, b.alive, physmem.accounts.principalOf(6)]).toEqual([true, 60, true, a.principal]);
    abandonControl(physmem, b);
    expect([a.alive, b.alive, physmem.root.limit, physmem.accounts.principalOf(6)]).toEqual([false, false, 1024, null]);
    expect(machine.retired).toEqual([b, a]);
    finish(machine);
  });
  test('an orphan goes on under the same principal, with what it had; a container somebody holds keeps its control', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const a = physmem.splitControl(physmem.root, 100, 6);
    const b = a === null ? null : physmem.splitControl(a, 40, 7);
    if (a === null || b === null) throw new Error('split');
    const orphan = machine.create(b);
    const shared = machine.create(a);
    machine.allocate(shared, 0, 8);
    abandonControl(physmem, a);
    expect([machine.allocate(orphan, 0, 40), machine.write(orphan, 0, 5), machine.write(shared, 0, 6)]).toEqual([0, 0, 0]);
    expect([machine.allocate(orphan, 40, 1), a.principal.used, b.principal]).toEqual([ENOMEM, 48, a.principal]);
    expect(physmem.destroyControl(b)).toBe(0);
    expect([orphan.alive, a.alive, a.limit]).toEqual([false, true, 100]);
    physmem.destroy(shared);
    expect([a.alive, physmem.root.limit]).toEqual([false, 1024]);
    finish(machine);
  });
  test('who holds the parent still ends everything below', () => {
    const { machine } = setup();
    const { physmem } = machine;
    const a = physmem.splitControl(physmem.root, 100, 6);
    const b = a === null ? null : physmem.splitControl(a, 40);
    const c = b === null ? null : physmem.splitControl(b, 10);
    if (a === null || b === null || c === null) throw new Error('split');
    machine.allocate(machine.create(c), 0, 3);
    abandonControl(physmem, b);
    abandonControl(physmem, c);
    expect([b.alive, c.alive]).toEqual([true, true]);
    expect(physmem.destroyControl(a)).toBe(0);
    expect([a.alive, b.alive, c.alive, physmem.root.limit, machine.retired.length]).toEqual([false, false, false, 1024, 4]);
    finish(machine);
  });
});

describe('descriptors', () => {
  test('64 of them are a page of the control: what many small pieces leave is less', () => {
    const { machine } = setup({ descriptorsPerPage: 64 });
    const { physmem } = machine;
    const control = physmem.splitControl(physmem.root, 100, 6);
    if (control === null) throw new Error('split');
    const container = machine.create(control);
    expect([control.overhead, control.unused]).toEqual([1, 99]);
    for (let page = 0; page < 63; page += 1) machine.allocate(container, page, 1);
    expect([control.descriptors, control.overhead]).toEqual([64, 1]);
    machine.allocate(container, 63, 1);
    expect([control.overhead, control.unused, control.principal.allocated]).toEqual([2, 34, 66]);
    expect([machine.allocate(container, 64, 40), control.used, control.unused]).toEqual([ENOMEM, 98, 0]);
    machine.deallocate(container, 0, 128);
    expect([control.descriptors, control.overhead, control.used]).toEqual([1, 1, 0]);
    finish(machine);
  });
  test('who has no page left, and may not hold extra ones, gets no container and no child', () => {
    const rig = new PolicyRig(100, { descriptorsPerPage: 64 });
    const { machine, accounts } = rig;
    const { control } = rig.principal(6, 1);
    for (let i = 1; i < 64; i += 1) machine.create(control);
    rig.introduce();
    rig.guarantee(6, 1, false);
    rig.commit();
    expect([admitsDescriptor(accounts, control), machine.physmem.splitControl(control, 0)]).toEqual([false, null]);
    rig.guarantee(6, 1);
    expect(admitsDescriptor(accounts, control)).toBe(true);
    expect(machine.physmem.splitControl(control, 0)?.limit).toBe(0);
    expect([control.overhead, control.unused]).toEqual([2, -1]);
    rig.check();
    finish(machine);
  });
  test('they never make a principal owe anything', () => {
    const { machine } = setup({ descriptorsPerPage: 4 });
    const { physmem } = machine;
    const control = physmem.splitControl(physmem.root, 40, 6);
    if (control === null) throw new Error('split');
    const container = machine.create(control);
    machine.allocate(container, 0, 32);
    machine.write(container, 0, 1);
    for (let page = 0; page < 32; page += 2) machine.deallocate(container, page, 1);
    machine.allocate(container, 32, 16);
    const { principal } = control;
    expect([control.unused < 16, principal.allocated > principal.used, principal.extra]).toEqual([true, true, 0]);
    finish(machine);
  });
});
