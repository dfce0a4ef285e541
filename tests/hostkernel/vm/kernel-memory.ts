/** What a machine and its VM keep in typed arrays, array by array, with every frame in use and mapped. */

import { Tracer } from '../../../hostkernel/base/trace.ts';
import { type ObjectPage, READ, type VirtualPage, WRITE } from '../../../hostkernel/base/units.ts';
import { compileLayout, Machine, memoryDisk, SV39 } from '../../../hostkernel/machine/index.ts';
import { Vm } from '../../../hostkernel/vm/index.ts';

const CONSTRUCTORS = ['Int8Array', 'Uint8Array', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array', 'Float64Array'] as const;

/**
 * Runs `work` and notes every typed array made with memory of its own.
 * @returns bytes of the last array made at each place of the sources: one that grows replaces the one before
 */
function arraysMadeBy(work: () => void): Map<string, number> {
  const made = new Map<string, number>();
  const originals = CONSTRUCTORS.map((name) => [name, globalThis[name]] as const);
  for (const [name, original] of originals) {
    const spy = new Proxy(original, {
      construct(target, args) {
        const array = Reflect.construct(target, args) as Uint8Array;
        if (!(args[0] instanceof ArrayBuffer)) made.set(placeOf(new Error().stack ?? ''), array.byteLength);
        return array;
      },
    });
    Object.assign(globalThis, { [name]: spy });
  }
  try {
    work();
  } finally {
    Object.assign(globalThis, Object.fromEntries(originals));
  }
  return made;
}

/** The first line of a stack that is in the kernels: file, function and line. */
function placeOf(stack: string): string {
  const line = stack.split('\n').find((one) => one.includes('/hostkernel/') && !one.includes('/tests/')) ?? 'elsewhere';
  return /hostkernel\/([^?]*\.ts).*?:(\d+)/.exec(line)?.slice(1, 3).join(':') ?? line.trim();
}

export interface KernelMemory {
  readonly frames: number;
  /** Of all arrays, and of those of vm and pmap. */
  readonly bytes: number;
  readonly kernelBytes: number;
  /** By place in the sources, the largest first: bytes. */
  readonly arrays: readonly (readonly [place: string, bytes: number])[];
}

/**
 * Measures a machine of `wanted` frames (fewer where so much RAM cannot be had) whose every frame is a resident page mapped
 * once, but for the page tables. Their content is not touched, so the RAM itself is not needed.
 */
export function measureKernelMemory(wanted: number): KernelMemory {
  let frames = 0;
  const arrays = arraysMadeBy(() => {
    const machine = Machine.create({ ramBytes: wanted * 4096, disk: memoryDisk(2 ** 33) });
    if (machine === null) throw new Error('no memory for the machine');
    const vm = new Vm(machine, new Tracer());
    const space = vm.createSpace(compileLayout(SV39), 64);
    if (space === null) throw new Error('no frame for a page table');
    frames = machine.ram.frames;
    const object = vm.objects.create(frames);
    const { pages } = vm;
    for (let index = 0; pages.freeFrames > 64; index++) {
      const frame = pages.allocateBusy(object.id, index as ObjectPage, frames);
      vm.objects.attach(object.id, index as ObjectPage, frame);
      pages.finish(frame);
      if (!space.pmap.enter((index + 1) as VirtualPage, frame, WRITE, READ | WRITE)) throw new Error('no frame for a page table');
    }
    if (object.residentPages < frames * 0.98) throw new Error('not filled');
  });
  const sorted = [...arrays].sort((a, b) => b[1] - a[1]);
  const sumOf = (rooms: RegExp) => sorted.reduce((sum, [place, bytes]) => sum + (rooms.test(place) ? bytes : 0), 0);
  return { frames, bytes: sumOf(/./), kernelBytes: sumOf(/^(vm|pmap)\//), arrays: sorted.filter(([, bytes]) => bytes >= frames / 100) };
}
