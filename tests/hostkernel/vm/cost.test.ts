/**
 * What events in a guest cost, in exact counts: ways into the host kernel, runs of a guest, entries of virtual page tables
 * read and marked. The guest is RISC-V code behind tables of four levels; the vkernel is a TypeScript program, so each of
 * its calls is one way into the host. Source: the cost model of DragonFly BSD's vkernels.
 */

import { expect, test } from 'vitest';
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  type Host,
  MADV_INVAL,
  MADV_NOSYNC,
  MADV_SETMAP,
  MAP_FIXED,
  MAP_SHARED,
  MAP_VPAGETABLE,
  SYS_vmspace_create,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mcontrolv,
  SYS_vmspace_mmap,
} from '../../../hostkernel/kern/index.ts';
import { TRAP_ECALL } from '../../../hostkernel/machine/index.ts';
import { A0, A1, ECALL, lw, sw } from '../kern/assembler.ts';
import { type Boot, boot, plain } from '../kern/boot.ts';
import { TestVkernel } from '../kern/vkernel.ts';

const TEXT = 0x1_0000;
const DATA = 0x40_0000;
const LEVELS = 4;

interface Cost {
  readonly entries: number; // ways into the host kernel
  readonly runs: number; //    a space switch into the guest, and one out of it
  readonly loads: number; //   entries of virtual page tables read
  readonly marks: number; //   ... and marked
}

/** A guest whose code page is in place; `loads` and `stores` execute one access and a system call. */
class Guest {
  readonly vkernel: TestVkernel;
  readonly root: number;
  readonly #machine: Boot;

  constructor(machine: Boot, host: Host) {
    this.#machine = machine;
    this.vkernel = new TestVkernel(host);
    this.root = this.vkernel.newSpace(1);
    this.vkernel.load(this.root, TEXT, [ECALL, lw(A0, 0, A1), ECALL, sw(A0, 0, A1), ECALL]);
    this.vkernel.reset(TEXT);
    expect(this.vkernel.run(1)).toBe(TRAP_ECALL);
    this.vkernel.entry(this.root, DATA); // the tables of the data are there
    host.memory.load32(this.vkernel.tf);
  }

  /** Runs the access at `at` up to the system call behind it. */
  access(at: number, va: number): number {
    this.vkernel.reset(at);
    this.vkernel.setX(A1, va);
    return this.vkernel.run(1);
  }

  cost(event: () => void): Cost {
    const { kernel } = this.#machine;
    const now = () => [kernel.counters.entries, kernel.counters.runs, kernel.vm.counters.walkReferences, kernel.vm.counters.walkUpdates];
    const before = now();
    event();
    const [entries, runs, loads, marks] = now().map((count, i) => count - before[i]);
    return { entries, runs, loads, marks };
  }
}

const LOAD = TEXT + 4;
const STORE = TEXT + 12;
/** The system call that ends every event: the RUN that leads to it, and its trap. */
const CALL = 2;

function withGuest(program: (guest: Guest, host: Host) => void): void {
  const machine = boot();
  const process = machine.kernel.spawnBody(
    'vkernel',
    plain((host) => program(new Guest(machine, host), host)),
    64,
  );
  expect(machine.finish(process)).toEqual({ code: 0 });
}

test('an access whose real PTE is there costs nothing, a system call a RUN and a trap', () => {
  withGuest((guest) => {
    guest.vkernel.enter(guest.root, DATA, guest.vkernel.newFrame());
    guest.access(STORE, DATA);
    expect(guest.cost(() => guest.access(LOAD, DATA))).toEqual({ entries: CALL, runs: 1, loads: 0, marks: 0 });
  });
});

test('an access through a valid entry that nobody has walked costs one fault, and as many entries as there are levels', () => {
  withGuest((guest) => {
    guest.vkernel.enter(guest.root, DATA, guest.vkernel.newFrame());
    // The tables below the root are new, so that every entry on the way is marked once.
    expect(guest.cost(() => guest.access(LOAD, DATA))).toMatchObject({ entries: CALL + 1, runs: 1, loads: LEVELS });
  });
});

test('the first write to a clean page costs one fault more, and marks the leaf', () => {
  withGuest((guest) => {
    guest.vkernel.enter(guest.root, DATA, guest.vkernel.newFrame());
    guest.access(LOAD, DATA);
    const cost = guest.cost(() => guest.access(STORE, DATA));
    expect(cost).toMatchObject({ entries: CALL + 1, runs: 1, loads: LEVELS });
    expect(cost.marks).toBe(LEVELS); // a write marks every entry it goes through modified
    expect(guest.cost(() => guest.access(STORE, DATA))).toEqual({ entries: CALL, runs: 1, loads: 0, marks: 0 });
  });
});

test('a fault the guest kernel must resolve costs two faults, a RUN more and an invalidation', () => {
  withGuest((guest, host) => {
    const { vkernel } = guest;
    const frame = vkernel.newFrame();
    const entry = vkernel.entry(guest.root, DATA);
    host.memory.store32(entry, 0);
    const cost = guest.cost(() => {
      expect(guest.access(STORE, DATA)).not.toBe(TRAP_ECALL); // out
      host.memory.store32(entry, frame * 4096 + 3);
      vkernel.call(SYS_vmspace_mcontrol, 1, DATA, 4096, MADV_INVAL, 0);
      expect(vkernel.run(1)).toBe(TRAP_ECALL);
    });
    expect(cost).toMatchObject({ entries: CALL + 1 + 1 + 1 + 1, runs: 2, loads: 2 * LEVELS });
  });
});

test('removing k pages costs k invalidations, or one that names them all', () => {
  withGuest((guest, host) => {
    const { vkernel } = guest;
    const pages = [0, 3, 4, 9, 77];
    const one = guest.cost(() => {
      for (const page of pages) vkernel.call(SYS_vmspace_mcontrol, 1, DATA + page * 4096, 4096, MADV_INVAL, 0);
    });
    expect(one).toEqual({ entries: pages.length, runs: 0, loads: 0, marks: 0 });
    const vector = vkernel.at(vkernel.newFrame());
    for (const [i, page] of pages.entries()) {
      for (const [k, value] of [1, DATA + page * 4096, 4096].entries()) host.memory.store64(vector + 24 * i + 8 * k, value);
    }
    const all = guest.cost(() => vkernel.call(SYS_vmspace_mcontrolv, vector, pages.length));
    expect(all).toEqual({ entries: 1, runs: 0, loads: 0, marks: 0 });
  });
});

test('another guest process costs nothing but that the next RUN names it', () => {
  withGuest((guest) => {
    const { vkernel } = guest;
    const root = vkernel.newSpace(2);
    vkernel.load(root, TEXT, [ECALL]);
    vkernel.reset(TEXT);
    vkernel.run(2);
    const cost = guest.cost(() => {
      vkernel.reset(TEXT);
      vkernel.run(2);
      guest.access(TEXT, 0);
    });
    expect(cost).toEqual({ entries: 2 * CALL, runs: 2, loads: 0, marks: 0 });
  });
});

test('a new address space costs four calls, whatever is in it', () => {
  withGuest((guest, host) => {
    const { vkernel } = guest;
    const cost = guest.cost(() => {
      const flags = MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE;
      vkernel.call(SYS_vmspace_create, 9, 0, 0);
      vkernel.call(SYS_vmspace_mmap, 9, 0, host.userEnd, READ | WRITE, flags, vkernel.fd, 0);
      vkernel.call(SYS_vmspace_mcontrol, 9, 0, host.userEnd, MADV_NOSYNC, 0);
      vkernel.call(SYS_vmspace_mcontrol, 9, 0, host.userEnd, MADV_SETMAP, guest.root * 4096 + 3);
    });
    expect(cost).toEqual({ entries: 4, runs: 0, loads: 0, marks: 0 });
  });
});
