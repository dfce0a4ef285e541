/** The server over a stub of the kernel and of wortel: bootstrap, requests as messages, and the accounts. */

import { expect, test } from 'vitest';
import { EBADF, ECAP_DIED, EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPERM } from '../../../hostkernel/base/errno.ts';
import { fpage, fpageBase } from '../../../vkernel/l4/user.ts';
import { assertInvariants } from '../../../vkernel/physmem/core/invariants.ts';
import { COPY_SHARED, FORCE_WRITE, MAP_READ, MAP_WRITE, PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { WORTEL } from '../../../vkernel/wortel/interface.ts';
import { boot, OTHER, P, ROOT_FS, WORTEL_THREAD } from './server-rig.ts';

test('the bootstrap takes memory until nil, answers each request with a handle, and says it is up', () => {
  const { handles, labels, info } = boot();
  const { getMemory, getCapabilityRequest, getCapabilityReply, bootstrapFinal } = WORTEL;
  const pairs = Array.from({ length: 4 }, () => [getCapabilityRequest.label, getCapabilityReply.label]).flat();
  expect(labels).toEqual([getMemory.label, getMemory.label, getMemory.label, ...pairs, bootstrapFinal.label]);
  expect(handles).toEqual([2 ** 32 + 1, 2 ** 33 + 1, 2 ** 32 + 2, 2 ** 32 + 3]);
  // received = fixed (page 0) + free + bound (the module); charged: the module; containers
  expect(info()).toEqual([64 + 256 + 5, 1, 63 + 256, 5, 5, 1]);
});

test('the guarantee of a task is its control’s limit, its module on top', () => {
  const { ask, handles } = boot();
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, handles[0]).words.slice(0, 5)).toEqual([105, 5, 105, 5, 0]);
  expect(ask(OTHER, PHYSMEM.controlInfo, handles[1]).words.slice(0, 5)).toEqual([50, 0, 50, 0, 0]);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, handles[3]).words[0]).toBe(63 + 256 - 150);
});

test('a module is mapped where it lies, with its contents', () => {
  const { ask, handles, kernel } = boot();
  const reply = ask(ROOT_FS, PHYSMEM.map, handles[2], MAP_READ, 0x8000, 0, 5 * P);
  expect(reply.label).toBe(0);
  expect(reply.items.map((item) => item.fpage)).toEqual([
    fpage(0x203000, 12, MAP_READ),
    fpage(0x204000, 12, MAP_READ),
    fpage(0x205000, 12, MAP_READ),
    fpage(0x206000, 12, MAP_READ),
    fpage(0x207000, 12, MAP_READ),
  ]); // page-sized, because 0x8000 and 0x203000 agree in page alignment only
  expect(reply.items.map((item) => item.base)).toEqual([0x8000, 0x9000, 0xa000, 0xb000, 0xc000]);
  expect(kernel.memory.size).toBe(0);
});

test('life of a page: allocate, map cleared, copy, deallocate with a flush, and the accounts agree', () => {
  const { ask, handles, kernel, info } = boot();
  const before = info();
  const [control] = handles;
  const container = ask(ROOT_FS, PHYSMEM.create, control).words[0];
  expect(ask(ROOT_FS, PHYSMEM.allocate, container, 0, 0, 4 * P)).toEqual({ label: 0, words: [4 * P], items: [] });
  expect(kernel.memory.size).toBe(0);
  const mapped = ask(ROOT_FS, PHYSMEM.map, container, MAP_READ | MAP_WRITE, 0x40000, 0, 4 * P);
  expect(mapped.items.length).toBe(1);
  expect([...kernel.memory.values()]).toEqual([0, 0, 0, 0]);

  const copy = ask(ROOT_FS, PHYSMEM.create, control).words[0];
  expect(ask(ROOT_FS, PHYSMEM.copy, container, 0, copy, 8 * P, 4 * P, 0)).toEqual({ label: 0, words: [4 * P], items: [] });
  expect(kernel.unmapped).toEqual([mapped.items[0].fpage - MAP_READ]);
  const forced = ask(ROOT_FS, PHYSMEM.map, copy, MAP_READ | MAP_WRITE | FORCE_WRITE, 0x80000, 8 * P, P);
  expect(forced.items[0].fpage & 7).toBe(MAP_READ | MAP_WRITE);

  expect(ask(ROOT_FS, PHYSMEM.deallocate, container, 0, 4 * P).words).toEqual([4 * P]);
  expect(ask(ROOT_FS, PHYSMEM.deallocate, container, 0, 4 * P, 0).words).toEqual([0]);
  expect(ask(ROOT_FS, PHYSMEM.destroy, copy).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.destroy, container).label).toBe(0);
  expect(info()).toEqual(before);
});

test('fresh pages come mapped in the reply that names their amount; a refusal carries no item', () => {
  const { ask, handles } = boot();
  const container = ask(ROOT_FS, PHYSMEM.create, handles[0]).words[0];
  const reply = ask(ROOT_FS, PHYSMEM.provide, container, MAP_READ | MAP_WRITE, 0x40000, 0, 2 * P);
  expect([reply.label, reply.words]).toEqual([0, [2 * P]]);
  expect(reply.items.map(({ base, fpage: page }) => [base, page % 8])).toEqual([[0x40000, MAP_READ | MAP_WRITE]]);
  const again = ask(ROOT_FS, PHYSMEM.provide, container, MAP_READ, 0x40000, P, P);
  expect(again).toEqual({ label: EEXIST, words: [0], items: [] });
});

test('A10 A11 a container where a control is wanted, wrong words, unknown labels, forged handles', () => {
  const { ask, handles, kernel, server } = boot();
  const [control, , module] = handles;
  expect(ask(ROOT_FS, PHYSMEM.create, module).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.allocate, control, 0, 0, P).label).toBe(EINVAL);
  expect(ask(ROOT_FS, PHYSMEM.allocate, module, 0, 0)).toEqual({ label: EINVAL, words: [0], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.allocate, module, 0, 0, 100)).toEqual({ label: EINVAL, words: [0], items: [] });
  expect(ask(ROOT_FS, { label: 250 }, module).label).toBe(EOPNOTSUPP);
  for (const label of [PHYSMEM.map.label, 250]) expect(kernel.ask(server, OTHER, label, [module, MAP_READ, 0, 0, P])).toBe(null);
});

test('the answer to the last message of the boot, when it comes, is no request', () => {
  const { kernel, server, info } = boot();
  expect(kernel.ask(server, WORTEL_THREAD, 0, [OTHER, 1, OTHER, 2])).toBe(null);
  expect(info()[1]).toBe(1);
});

test('C14 the destination of a copy: no handle of the caller’s, wrong class, dead', () => {
  const { ask, handles } = boot();
  const [control, otherControl, module] = handles;
  const foreign = ask(OTHER, PHYSMEM.create, otherControl).words[0];
  for (const handle of [foreign, control, 0, module + 77, 2 ** 60]) {
    expect(ask(ROOT_FS, PHYSMEM.copy, module, 0, handle, 0, P, 0)).toEqual({ label: EINVAL, words: [0], items: [] });
  }
  const child = ask(ROOT_FS, PHYSMEM.controlSplit, control, 3).words[0];
  const doomed = ask(ROOT_FS, PHYSMEM.create, child).words[0];
  ask(ROOT_FS, PHYSMEM.controlDestroy, child);
  expect(ask(ROOT_FS, PHYSMEM.copy, module, 0, doomed, 0, P, COPY_SHARED).label).toBe(EBADF);
  expect(ask(ROOT_FS, PHYSMEM.allocate, doomed, 0, 0, P).label).toBe(ECAP_DIED);
});

test('splitting, absorbing and destroying controls', () => {
  const { ask, handles } = boot();
  const [control, , , root] = handles;
  const child = ask(ROOT_FS, PHYSMEM.controlSplit, control, 40).words[0];
  expect(ask(ROOT_FS, PHYSMEM.controlSplit, control, 61)).toEqual({ label: ENOMEM, words: [0, 0], items: [] });
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, child).words.slice(0, 5)).toEqual([40, 0, 105, 5, 0]);
  expect(ask(ROOT_FS, PHYSMEM.controlAbsorb, child, 10).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.controlAbsorb, child, 31).label).toBe(ENOMEM);
  expect(ask(ROOT_FS, PHYSMEM.controlAbsorb, root, 0).label).toBe(EPERM);
  expect(ask(ROOT_FS, PHYSMEM.controlDestroy, root).label).toBe(EPERM);
  expect(ask(ROOT_FS, PHYSMEM.controlDestroy, child).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, control).words[0]).toBe(105);
});

test('a child control may be granted to another task at once: its handle, not the caller’s, works there', () => {
  const { ask, handles, kernel, server } = boot();
  const [child, granted] = ask(ROOT_FS, PHYSMEM.controlSplit, handles[0], 40, 6).words;
  const container = ask(OTHER, PHYSMEM.create, granted).words[0];
  expect(ask(OTHER, PHYSMEM.allocate, container, 0, 0, 40 * P).label).toBe(0);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, child).words.slice(0, 2)).toEqual([40, 40]);
  if (child !== granted) expect(kernel.ask(server, OTHER, PHYSMEM.create.label, [child])).toBe(null);
  expect(ask(ROOT_FS, PHYSMEM.controlDestroy, child).label).toBe(0);
  expect(ask(OTHER, PHYSMEM.create, granted).label).toBe(ECAP_DIED);
  for (const task of [64, 2 ** 32]) expect(ask(ROOT_FS, PHYSMEM.controlSplit, handles[0], 1, task).label).toBe(EINVAL);
});

test('when a task dies all its pages are free and its guarantee returns; only the root may say so', () => {
  const { ask, handles, info } = boot();
  const [control, otherControl, , root] = handles;
  const before = info();
  const container = ask(OTHER, PHYSMEM.create, otherControl).words[0];
  ask(OTHER, PHYSMEM.allocate, container, 0, 0, 32 * P);
  ask(OTHER, PHYSMEM.map, container, MAP_READ, 0, 0, 32 * P);
  expect(info()[3]).toBe(before[3] + 32);
  expect(ask(ROOT_FS, PHYSMEM.taskDied, control, 6).label).toBe(EPERM);
  const limit = ask(ROOT_FS, PHYSMEM.controlInfo, root).words[0];
  expect(ask(ROOT_FS, PHYSMEM.taskDied, root, 6).label).toBe(0);
  expect(info()).toEqual(before);
  expect(ask(ROOT_FS, PHYSMEM.controlInfo, root).words[0]).toBe(limit + 50);
});

test('a hole is ENOENT, and what was mapped before it comes along', () => {
  const { ask, handles } = boot();
  const reply = ask(ROOT_FS, PHYSMEM.map, handles[2], MAP_READ, 0, 3 * P, 4 * P);
  expect([reply.label, reply.items.map((item) => item.fpage)]).toEqual([ENOENT, [fpage(0x206000, 13, MAP_READ)]]);
});

test('a guarantee that cannot be given ends the boot with a line, and the shutdown call', () => {
  const { kernel, labels } = boot({ memory: [fpage(0x100000, 16, 7)], requests: [{ task: 5, pages: 'control', frames: 17 }] });
  expect(kernel.printed).toEqual(['physmem: cannot make the capability for task 5\n']);
  expect(labels.at(-1)).toBe(WORTEL.shutdown.label);
});

test('a task dies: what it shared copy-on-write stays mapped for the others until it may be written, its own goes at once', () => {
  const { ask, handles, kernel, physmem } = boot();
  const [control, otherControl, , root] = handles;
  const source = ask(ROOT_FS, PHYSMEM.create, control).words[0];
  const copy = ask(OTHER, PHYSMEM.create, otherControl).words[0];
  const shared = ask(OTHER, PHYSMEM.copyCapability, copy, 5).words[0];
  ask(ROOT_FS, PHYSMEM.allocate, source, 0, 0, P);
  ask(ROOT_FS, PHYSMEM.allocate, source, 0, P, P);
  const [text] = ask(ROOT_FS, PHYSMEM.map, source, MAP_READ, 0, 0, P).items;
  ask(ROOT_FS, PHYSMEM.copy, source, 0, shared, 0, 2 * P, 0);
  ask(ROOT_FS, PHYSMEM.releaseCapability, shared);
  ask(OTHER, PHYSMEM.map, copy, MAP_READ, 0, 0, P);
  ask(OTHER, PHYSMEM.map, copy, MAP_READ | MAP_WRITE | FORCE_WRITE, P, P, P);
  kernel.unmapped.length = 0;
  expect(ask(ROOT_FS, PHYSMEM.taskDied, root, 6).label).toBe(0);
  expect(kernel.unmapped.length).toBe(1);
  expect(fpageBase(kernel.unmapped[0])).not.toBe(fpageBase(text.fpage));
  assertInvariants(physmem.physmem);
  expect(ask(ROOT_FS, PHYSMEM.map, source, MAP_READ | MAP_WRITE, 0, 0, P).items.length).toBe(1);
  expect(kernel.unmapped.map(fpageBase).at(-1)).toBe(fpageBase(text.fpage));
});
