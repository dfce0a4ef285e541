/**
 * What every hart must see of one call: memory of its own, away from all other operations, that is in use on all harts when
 * one of them changes it.
 *
 *   scattered   pages so many and so far apart that TLBs forget more than a range
 *   large       two megabytes that become one large page, and one thing that breaks it
 */
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import type { Machine } from '../../hostkernel/machine/index.ts';
import { MADV_DONTNEED, MADV_INVAL, MAP_ANON, MAP_FIXED, MAP_PRIVATE, type Vm, type VmSpace } from '../../hostkernel/vm/index.ts';
import { type Calls, expect } from './calls.ts';

const LARGE = 2 ** 16; // page where the memory is
const LARGE_PAGES = 512;
const SCATTERED = 32; // pages, more than the TLB is told of one by one,
const STRIDE = 49; // and so many pages apart that all of it is forgotten instead of a range

/** What both sides of a run have, as far as it is needed here. */
export interface System {
  readonly machine: Machine;
  readonly vm: Vm;
  readonly harts: number;
  readonly frames: number;
  /** Uses so many pages for a while. */
  pressure(pages: number): void;
  /** A number no other word of the machine has. */
  value(): number;
}

/** Whose memory it is. */
export interface Caller {
  readonly real: VmSpace;
  readonly calls: Calls;
}

/** Pages far apart, in use on every hart, that lose rights in one call. */
export function scattered({ machine, harts }: System, { real, calls }: Caller, n: readonly number[]): string {
  const addr = LARGE * PAGE_SIZE;
  const len = SCATTERED * STRIDE * PAGE_SIZE;
  const flags = MAP_FIXED | MAP_PRIVATE | MAP_ANON;
  expect(real.mmap({ addr, len, prot: 3, flags, object: null, offset: 0 }), addr, 'mmap');
  const running = machine.mmu.hart;
  const at = (i: number): number => addr + i * STRIDE * PAGE_SIZE;
  for (let i = 0; i < SCATTERED; i += 1) {
    if (real.translate(at(i), WRITE) < 0) throw new Error(`scattered: page ${i} cannot be written (${real.lastRefusal.reason})`);
  }
  for (let hart = 0; hart < harts; hart += 1) {
    machine.select(hart);
    for (let i = 0; i < SCATTERED; i += 1) real.context.lookup(at(i), WRITE);
  }
  machine.select(n[2] % harts); // who tells the others
  const action = ['protect', 'unmap', 'inval', 'forget'][n[1] % 4];
  if (action === 'protect') expect(calls.mprotect(addr, len, READ), 0, 'mprotect');
  else if (action === 'unmap') expect(calls.munmap(addr, len), 0, 'munmap');
  else if (action === 'inval') expect(calls.mcontrol(addr, len, MADV_INVAL, 0), 0, 'INVAL');
  else expect(calls.madvise(addr, len, MADV_DONTNEED), 0, 'madvise');
  const denied = action === 'protect' ? WRITE : READ;
  for (let hart = 0; hart < harts; hart += 1) {
    machine.select(hart);
    for (let i = 0; i < SCATTERED; i += 1) {
      if (real.context.lookup(at(i), denied) >= 0) throw new Error(`scattered: hart ${hart} still has page ${i} after ${action}`);
    }
  }
  machine.select(running);
  if (action !== 'unmap') expect(calls.munmap(addr, len), 0, 'munmap');
  return action;
}

/** Two megabytes that become a large page, one thing that breaks it, and what must come of that on every hart. */
export function large(system: System, { real, calls }: Caller, n: readonly number[]): string {
  const { machine, vm, harts, frames } = system;
  const addr = LARGE * PAGE_SIZE;
  const flags = MAP_FIXED | MAP_PRIVATE | MAP_ANON;
  expect(real.mmap({ addr, len: LARGE_PAGES * PAGE_SIZE, prot: 3, flags, object: null, offset: 0 }), addr, 'mmap');
  const word = system.value();
  const at = (i: number): number => addr + i * PAGE_SIZE;
  const store = (space: VmSpace, i: number, stored: number): void => {
    const offset = space.translate(at(i), WRITE);
    if (offset < 0) throw new Error(`large: page ${i} cannot be written (${space.lastRefusal.reason})`);
    machine.ram.i32[offset / 4] = stored;
  };
  const check = (space: VmSpace, i: number, wanted: number): void => {
    const offset = space.translate(at(i), READ);
    if (offset < 0) throw new Error(`large: page ${i} cannot be read (${space.lastRefusal.reason})`);
    if (machine.ram.i32[offset / 4] !== wanted) throw new Error(`large: page ${i} holds another value`);
  };
  for (let i = 0; i < LARGE_PAGES; i += 1) store(real, i, word + i);
  for (let hart = 0; hart < harts; hart += 1) {
    machine.select(hart);
    for (let i = 0; i < LARGE_PAGES; i += 1) real.context.lookup(at(i), WRITE);
  }
  const isLarge = real.pmap.largePages > 0;
  const first = n[1] % LARGE_PAGES;
  const end = Math.min(LARGE_PAGES, first + 1 + (n[2] % (n[4] % 2 === 0 ? 40 : 400)));
  const [from, len] = [at(first), (end - first) * PAGE_SIZE];
  const action = ['protect', 'unmap', 'inval', 'fork', 'pressure'][n[3] % 5];
  const denied = action === 'protect' ? WRITE : action === 'unmap' || action === 'inval' ? READ : 0;
  let child: VmSpace | null = null;
  if (action === 'protect') expect(calls.mprotect(from, len, READ), 0, 'mprotect');
  else if (action === 'unmap') expect(calls.munmap(from, len), 0, 'munmap');
  else if (action === 'inval') expect(real.mcontrol(from, len, MADV_INVAL, 0), 0, 'INVAL');
  else if (action === 'pressure') system.pressure(Math.floor(0.9 * frames));
  else child = real.fork();
  const checked = denied === 0 ? 0 : harts;
  for (let hart = 0; hart < checked; hart += 1) {
    machine.select(hart);
    for (let i = first; i < end; i += 1) {
      if (real.context.lookup(at(i), denied) >= 0)
        throw new Error(`large: hart ${hart} still has access ${denied} to page ${i} after ${action}`);
    }
  }
  if (action === 'fork') {
    if (child === null) throw new Error('large: fork finds no memory');
    store(child, first, 1);
    store(real, (first + 1) % LARGE_PAGES, 2);
    for (let i = 0; i < LARGE_PAGES; i += 7) check(child, i, i === first ? 1 : word + i);
    check(child, (first + 1) % LARGE_PAGES, word + ((first + 1) % LARGE_PAGES));
    check(child, first, 1);
    check(real, first, word + first);
    store(real, (first + 1) % LARGE_PAGES, word + ((first + 1) % LARGE_PAGES));
    child.destroy();
  }
  for (let i = 0; i < LARGE_PAGES; i += 1) {
    const isGone = action === 'unmap' && i >= first && i < end;
    if (!isGone) check(real, i, word + i);
    else if (real.translate(at(i), READ) >= 0) throw new Error(`large: page ${i} is still there`);
  }
  vm.assertInvariants();
  const gone =
    action === 'unmap'
      ? [
          [0, first],
          [end, LARGE_PAGES],
        ]
      : [[0, LARGE_PAGES]];
  for (const [a, b] of gone) if (b > a) expect(calls.munmap(at(a), (b - a) * PAGE_SIZE), 0, 'munmap');
  for (let hart = 0; hart < harts; hart += 1) {
    machine.select(hart);
    for (let i = 0; i < LARGE_PAGES; i += 1)
      if (real.context.lookup(at(i), READ) >= 0) throw new Error(`large: hart ${hart} still has page ${i}`);
  }
  return `${isLarge ? 'large' : 'small'}, ${action}`;
}
