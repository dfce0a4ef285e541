/** Whose space a processor runs in, several kernels on one, and kernels that mean harm. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXEC, PAGE_SIZE, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  type Host,
  type HostBody,
  type HostKernel,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  MAP_VPAGETABLE,
  type Process,
  SYS_ftruncate,
  SYS_memfd_create,
  SYS_mmap,
  SYS_vmspace_create,
  SYS_vmspace_ctl,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_pwrite,
  SYS_write,
} from '../../../hostkernel/kern/index.ts';
import { KERNEL_DONE, nest } from '../../../vkernel/nest/index.ts';
import { buildElf, code } from '../../hostkernel/base/elf-builder.ts';
import { A0, addi, bne, ECALL, exitA0, j, li, lw, sw, syscall, T0, T1, ZERO } from '../../hostkernel/kern/assembler.ts';
import { body, elf, format, nestOf } from './rig.ts';

const TEXT = 0x10000;
const DATA = 0x20000;
const TF = DATA;
const VF = DATA + 0x200;
const GUEST = 0x40_0000;
const ID = 0x77;
const RWX = READ | WRITE | EXEC;

function program(words: readonly number[]): (kernel: HostKernel) => Process {
  const segments = [
    { va: TEXT, bytes: code(words) },
    { va: DATA, bytes: new Uint8Array(0), memBytes: 8192, flags: 6 },
  ];
  return elf(buildElf({ xlen: 64, entry: TEXT, segments }), ['test']);
}

/** Stores instruction words from address `at` on. */
const poke = (at: number, words: readonly number[]): number[] =>
  words.flatMap((word, i) => [...li(T0, word | 0), ...li(T1, at + 4 * i), sw(T0, 0, T1)]);

describe.each([0, 1, 2, 3])('depth %i', (depth) => {
  test('a guest that was interrupted goes on in the space of its thread, not in that of its process', () => {
    const guest = [...li(T0, 2000), addi(A0, A0, 1), addi(T0, T0, -1), bne(T0, ZERO, -8), ECALL];
    const wrong = [addi(A0, ZERO, 99), ...exitA0()]; // what lies there in the vkernel's own space
    const vkernel = program([
      ...syscall(SYS_mmap, GUEST, PAGE_SIZE, RWX, MAP_ANON | MAP_SHARED | MAP_FIXED, -1, 0),
      ...poke(GUEST, Array.from({ length: 8 }, () => wrong).flat()),
      ...poke(DATA + 0x400, guest),
      ...syscall(SYS_vmspace_create, ID, 0, 0),
      ...syscall(SYS_vmspace_mmap, ID, GUEST, PAGE_SIZE, RWX, MAP_ANON | MAP_SHARED | MAP_FIXED, -1, 0),
      ...syscall(SYS_vmspace_pwrite, ID, DATA + 0x400, 4 * guest.length, 0, GUEST),
      ...poke(TF, [GUEST]),
      ...syscall(SYS_vmspace_ctl, ID, 1, TF, VF),
      ...li(T1, TF),
      lw(A0, 8 * A0, T1),
      ...exitA0(),
    ]);
    const other = [...li(T0, 5000), addi(T0, T0, -1), bne(T0, ZERO, -4), addi(A0, ZERO, 0), ...exitA0()];
    const made = nestOf(
      depth,
      (kernel) => {
        const process = vkernel(kernel);
        program(other)(kernel); // so that there is somebody to switch to
        return process;
      },
      { timeSlice: 150, ramBytes: 16 * 2 ** 20 },
    );
    expect(made.finish()).toEqual({ code: 2000 & 0xff });
    expect(made.kernels[depth].counters.steps).toBeGreaterThan(20);
  });
});

describe('two kernels in one', () => {
  const spin = (name: string): HostBody =>
    function* main(host: Host) {
      const at = host.syscall(SYS_mmap, 0, PAGE_SIZE, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);
      for (let i = 0; i < 5; i++) {
        host.memory.write(at, new TextEncoder().encode(name));
        host.syscall(SYS_write, 1, at, name.length);
        yield;
      }
      return 0;
    };

  test('each runs its own programs to their end, whoever is interrupted', () => {
    const counting = [...li(T0, 20_000), addi(T0, T0, -1), bne(T0, ZERO, -4), addi(A0, ZERO, 7), ...exitA0()];
    const ended: unknown[] = [];
    const between = format('vpte-64-nx');
    const made = nestOf(
      0,
      (kernel) => {
        const starts: ((inner: HostKernel) => Process)[] = [program(counting), program(counting), body(spin('x'))];
        const processes = starts.map((start) => {
          let inner: Process | null = null;
          return nest(kernel, {
            xlen: 64,
            depth: 2,
            between,
            vpte: between,
            options: { timeSlice: 700 },
            ramShare: 0.2,
            start: (innermost) => void (inner = start(innermost)),
            ended: (innermost, at) => {
              innermost.assertInvariants();
              if (at === 2) ended.push(inner?.exitStatus);
            },
          });
        });
        return processes[0];
      },
      { timeSlice: 500 },
    );
    expect(made.finish()).toEqual({ code: KERNEL_DONE });
    expect(made.output()).toBe('xxxxx');
    expect(ended).toEqual(expect.arrayContaining([{ code: 7 }, { code: 7 }, { code: 0 }]));
    expect(made.kernels[0].counters.steps).toBeGreaterThan(50);
  });
});

describe('a kernel that means harm', () => {
  interface Attack {
    readonly kind: 'create' | 'destroy' | 'map' | 'setmap' | 'inval' | 'run' | 'scribble' | 'syscall';
    readonly id: number;
    readonly a: number;
    readonly b: number;
  }
  const wild = fc.oneof(
    fc.integer({ min: 0, max: 40 }),
    fc.constantFrom(0, -1, 2 ** 31, 2 ** 32, 2 ** 38 - 4096, 2 ** 38, 2 ** 47, 2 ** 52, 2 ** 53 - 1, 2 ** 63, NaN, 0.5),
    fc.integer({ min: 0, max: 2 ** 40 }),
  );
  const attack: fc.Arbitrary<Attack> = fc.record({
    kind: fc.constantFrom('create', 'destroy', 'map', 'setmap', 'inval', 'run', 'scribble', 'syscall' as const),
    id: fc.oneof(fc.integer({ min: 0, max: 3 }), wild),
    a: wild,
    b: wild,
  });

  /** A process that does what it likes with spaces over an image full of rubbish. */
  function hostile(attacks: readonly Attack[]): HostBody {
    return function* main(host: Host) {
      const fd = host.syscall(SYS_memfd_create, 0, 0);
      host.syscall(SYS_ftruncate, fd, 16 * PAGE_SIZE);
      const window = host.syscall(SYS_mmap, 0, 16 * PAGE_SIZE, READ | WRITE, MAP_SHARED, fd, 0);
      const own = host.syscall(SYS_mmap, 0, PAGE_SIZE, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);
      for (const { kind, id, a, b } of attacks) {
        if (kind === 'create') host.syscall(SYS_vmspace_create, id, 0, 0);
        else if (kind === 'destroy') host.syscall(SYS_vmspace_destroy, id);
        else if (kind === 'map') {
          host.syscall(SYS_vmspace_mmap, id, 0, 2 ** 37, RWX, MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE, fd, 0);
          host.syscall(SYS_vmspace_mmap, id, a, b, RWX, MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE, fd, a);
        } else if (kind === 'setmap') host.syscall(SYS_vmspace_mcontrol, id, 0, 2 ** 37, MADV_SETMAP, a);
        else if (kind === 'inval') host.syscall(SYS_vmspace_mcontrol, id, a, b, MADV_INVAL, 0);
        else if (kind === 'run') {
          host.memory.store64(own, a < 2 ** 53 && a >= 0 ? Math.floor(a) : 0);
          host.memory.store64(own + 280, 100); // budget
          host.run(id, own, own + 512);
          host.run(id, a, b);
        } else if (kind === 'scribble') {
          for (let i = 0; i < 64; i++)
            host.memory.store32(window + ((i * 2654435761) % (16 * PAGE_SIZE)) - ((i * 2654435761) % 4), (a + i * b) | 0x67);
        } else host.syscall(484 + (id % 16), id, a, b, a, b, a);
        yield;
      }
      return 0;
    };
  }

  const victim = [...li(T0, 3000), addi(T0, T0, -1), bne(T0, ZERO, -4), addi(A0, ZERO, 42), ...exitA0(), j(0)];

  test.each([0, 1])('harms only itself, beside an innocent kernel, at depth %i', (depth) => {
    fc.assert(
      fc.property(fc.array(attack, { minLength: 1, maxLength: 40 }), (attacks) => {
        const between = format('vpte-64-nx');
        let innocent: Process | null = null;
        const made = nestOf(
          depth,
          (kernel) => {
            kernel.spawnBody('hostile', hostile(attacks), 64);
            return nest(kernel, {
              xlen: 64,
              depth: 1,
              between,
              vpte: between,
              ramShare: 0.3,
              start: (inner) => void (innocent = program(victim)(inner)),
            });
          },
          { ramBytes: 8 * 2 ** 20, timeSlice: 300 },
        );
        expect(made.finish()).toEqual({ code: KERNEL_DONE });
        expect((innocent as Process | null)?.exitStatus).toEqual({ code: 42 });
      }),
      { numRuns: 25 },
    );
  });
});
