/** Code that changes: whoever writes it, by whatever way, every guest executes what was written last. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TRAP_ECALL } from '../../../hostkernel/machine/index.ts';
import { MADV_INVAL, SYS_pwrite64, SYS_vmspace_destroy, SYS_vmspace_mcontrol, SYS_vmspace_pwrite } from '../../../hostkernel/kern/index.ts';
import { A0, A1, A2, addi, ECALL, sh, ZERO } from './assembler.ts';
import { boot, plain } from './boot.ts';
import { TestVkernel } from './vkernel.ts';

const WRITER = 0x1_0000; // the guest's program that stores a halfword
const CODE = 0x40_0000; // slots of two pages: a frame of code, and the tail
const DATA = 0x80_0000; // the frames of code again, to write to
const SPACES = 18; // more than the machine has TLB blocks for
const FRAMES = 3;
const SLOTS = 3;

/** Where in its page the program stands, two instructions of 4 bytes: in the middle, at the end, on two pages in three ways. */
const anyOffset = fc.constantFrom(0x7fe, 0xff8, 0xffa, 0xffc, 0xffe);
const anySpace = fc.nat(SPACES - 1);
const anyFrame = fc.nat(FRAMES - 1);
const anySlot = fc.nat(SLOTS - 1);
const WRITERS = ['memory.write', 'memory.store8', 'pwrite64', 'vmspace_pwrite', 'guest'] as const;

const anyStep = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('run'), space: anySpace, slot: anySlot }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('write'),
      frame: anyFrame,
      value: fc.nat(2047),
      by: fc.constantFrom(...WRITERS),
      space: anySpace,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('map'), space: anySpace, slot: anySlot, frame: anyFrame }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('destroy'), space: anySpace }) },
);

/** Guests whose code is one instruction that loads a constant, and the model: the constant of each frame. */
class Guests {
  readonly vkernel: TestVkernel;
  readonly #offset: number;
  readonly #frames: readonly number[];
  readonly #values: number[] = [];
  readonly #writer: number;
  readonly #tail: number; // frame of the second page of every slot
  readonly #roots: number[] = [];
  readonly #mapped: number[][] = []; // by space and slot
  #lastValue = 0;

  constructor(vkernel: TestVkernel, offset: number) {
    this.vkernel = vkernel;
    this.#offset = offset;
    this.#frames = Array.from({ length: FRAMES }, () => vkernel.newFrame());
    this.#writer = vkernel.newFrame();
    this.#tail = vkernel.newFrame();
    const { memory } = vkernel.host;
    memory.store32(vkernel.at(this.#writer), sh(A2, 0, A1));
    memory.store32(vkernel.at(this.#writer) + 4, ECALL);
    for (let space = 0; space < SPACES; space++) this.#create(space);
    for (let frame = 0; frame < FRAMES; frame++) this.write(frame, frame, 'memory.write', 0);
  }

  /** Makes the code in `frame` load `value`. What does not fit into the page goes to the tail, which all frames share. */
  write(frame: number, value: number, by: (typeof WRITERS)[number], space: number): void {
    const { vkernel } = this;
    const { host } = vkernel;
    const program = new Uint8Array(Uint32Array.of(addi(A0, ZERO, value), ECALL).buffer);
    const bytes = program.subarray(0, Math.min(8, 4096 - this.#offset));
    const at = vkernel.at(this.#frames[frame]) + this.#offset;
    const guestVa = DATA + frame * 4096 + this.#offset;
    const buffer = vkernel.vf + 512;
    host.memory.write(buffer, bytes);
    if (by === 'memory.write') host.memory.write(at, bytes);
    else if (by === 'memory.store8') bytes.forEach((byte, i) => host.memory.store8(at + i, byte));
    else if (by === 'pwrite64') vkernel.call(SYS_pwrite64, vkernel.fd, buffer, bytes.length, this.#frames[frame] * 4096 + this.#offset);
    else if (by === 'vmspace_pwrite') vkernel.call(SYS_vmspace_pwrite, space + 1, buffer, bytes.length, 0, guestVa);
    else for (let i = 0; i < bytes.length; i += 2) this.#store16(space, guestVa + i, bytes[i] | (bytes[i + 1] << 8));
    host.memory.write(vkernel.at(this.#tail), program.subarray(bytes.length));
    this.#values[frame] = value;
    this.#lastValue = value;
  }

  /** Executes what is in `slot` of `space`, and compares. */
  run(space: number, slot: number): void {
    this.vkernel.reset(CODE + slot * 8192 + this.#offset);
    expect(this.vkernel.run(space + 1)).toBe(TRAP_ECALL);
    // On two pages, the half with the constant is in the tail.
    expect(this.vkernel.x(A0)).toBe(this.#offset > 4092 ? this.#lastValue : this.#values[this.#mapped[space][slot]]);
  }

  /** Puts another frame into a slot. */
  map(space: number, slot: number, frame: number): void {
    const { vkernel } = this;
    const va = CODE + slot * 8192;
    vkernel.host.memory.store32(vkernel.entry(this.#roots[space], va), 0);
    vkernel.call(SYS_vmspace_mcontrol, space + 1, va, 4096, MADV_INVAL, 0);
    vkernel.enter(this.#roots[space], va, this.#frames[frame]);
    this.#mapped[space][slot] = frame;
  }

  /** Ends a space; another takes its id. */
  replace(space: number): void {
    this.vkernel.call(SYS_vmspace_destroy, space + 1);
    this.#create(space);
  }

  #create(space: number): void {
    const { vkernel } = this;
    const root = vkernel.newSpace(space + 1);
    vkernel.enter(root, WRITER, this.#writer);
    for (const [i, frame] of this.#frames.entries()) vkernel.enter(root, DATA + i * 4096, frame);
    for (let slot = 0; slot < SLOTS; slot++) {
      vkernel.enter(root, CODE + slot * 8192, this.#frames[slot]);
      vkernel.enter(root, CODE + slot * 8192 + 4096, this.#tail);
    }
    this.#roots[space] = root;
    this.#mapped[space] = Array.from({ length: SLOTS }, (_, slot) => slot);
  }

  #store16(space: number, va: number, value: number): void {
    this.vkernel.reset(WRITER);
    this.vkernel.setX(A1, va);
    this.vkernel.setX(A2, value);
    expect(this.vkernel.run(space + 1)).toBe(TRAP_ECALL);
  }
}

test.each([32, 64] as const)('a %i-bit guest executes what was written last', (xlen) => {
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 20, maxLength: 80, size: 'max' }), anyOffset, (steps, offset) => {
      const machine = boot();
      const body = plain((host) => {
        const guests = new Guests(new TestVkernel(host), offset);
        let replacements = 12; // the image has frames for
        for (const step of steps) {
          if (step.kind === 'run') guests.run(step.space, step.slot);
          else if (step.kind === 'write') guests.write(step.frame, step.value, step.by, step.space);
          else if (step.kind === 'map') guests.map(step.space, step.slot, step.frame);
          else if (replacements-- > 0) guests.replace(step.space);
        }
        machine.machine.mmu.assertInvariants();
        machine.machine.hart.code.assertInvariants();
      });
      expect(machine.finish(machine.kernel.spawnBody('test', body, xlen))).toEqual({ code: 0 });
    }),
    { numRuns: 30 },
  );
});
