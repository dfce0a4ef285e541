/**
 * A page of the guest is one frame, seen by the guest's program and by the virtual kernel at once. The program spins on
 * a word of its memory and makes no system call; a TypeScript thread in its space stores round numbers there through
 * the virtual kernel's own mapping and reads the answers.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { compileLayout, layoutByName, Machine, type PageTableFormat } from '../../hostkernel/machine/index.ts';
import { bootStack } from '../../vkernel/index.ts';
import type { L4Body } from '../../vkernel/l4/user.ts';

const PAGE = 4096;
const ROUNDS = 40;
const MARK = [0x5eed_0001, 0xa11a_5ed0, 0x0f4a_3e00, 0x2006_c0de] as const; // words 4 to 7 of the page
const format = (name: string): PageTableFormat => compileLayout(layoutByName(name) as NonNullable<ReturnType<typeof layoutByName>>);
const FORMATS = { mmu64: format('sv39'), mmu32: format('sv32'), vpte64: format('vpte-64-nx'), vpte32: format('vpte-32-nx') };

/** Host frames of the machine that hold MARK in words 4 to 7. */
function framesWithMark({ ram }: Machine): number[] {
  const frames: number[] = [];
  for (let frame = 0; frame < ram.frames; frame += 1) {
    const at = (ram.base + frame * PAGE) / 4 + 4;
    if (MARK.every((word, i) => ram.u32[at + i] === word)) frames.push(frame);
  }
  return frames;
}

test.each([32, 64] as const)('the program and its kernel see one frame, on %i bits', (xlen) => {
  let output = '';
  const decoder = new TextDecoder();
  const machine = Machine.create({
    ramBytes: 64 * 2 ** 20,
    console: { write: (_fd, bytes) => void (output += decoder.decode(bytes)), read: () => new Uint8Array(0) },
  }) as Machine;
  const tracer = new Tracer();
  let systemCalls = 0;
  tracer.syscall = () => void (systemCalls += 1);
  const guestFrames = new Map<string, number>(); // `space:va` -> guest frame of the last mapping there
  tracer.map = ({ space, va, frame, pages }) => {
    for (let i = 0; i < pages; i += 1) guestFrames.set(`${space}:${va + i * PAGE}`, frame + i);
  };

  const seen = { address: 0, answers: [] as number[], inRam: [] as number[], callsWhileSpinning: -1, hostFrames: [] as number[] };
  const companion: L4Body = function* (l4) {
    let match: RegExpExecArray | null = null;
    while (match === null) {
      yield* l4.sleep(100);
      match = /^page 0x([0-9a-f]+)$/m.exec(output);
    }
    yield* l4.sleep(1000); // the call that printed is over: the program spins
    const address = Number.parseInt(match[1] as string, 16);
    seen.address = address;
    const before = systemCalls;
    for (const [i, word] of MARK.entries()) yield* l4.store32(address + 16 + 4 * i, word);
    seen.hostFrames = framesWithMark(machine);
    const word1 = (machine.ram.base + (seen.hostFrames[0] as number) * PAGE) / 4 + 1;
    for (let round = 1; round <= ROUNDS; round += 1) {
      const answer = Math.imul(round, 2654435761) >>> 0;
      yield* l4.store32(address, round);
      for (let tries = 0; tries < 1000 && l4.tryLoad32(address + 4) !== answer; tries += 1) yield* l4.sleep(10);
      seen.answers.push(l4.tryLoad32(address + 4));
      seen.inRam.push(machine.ram.u32[word1] as number);
    }
    seen.callsWhileSpinning = systemCalls - before;
    yield* l4.store32(address, ROUNDS + 1); // one more round, and the program ends
  };

  const image = readFileSync(new URL(`../../userland/programs/elf/alias-rv${xlen}`, import.meta.url));
  const result = bootStack({
    machine,
    xlen,
    ...FORMATS,
    tracer,
    log: () => undefined,
    companion,
    process: {
      program: '/alias',
      argv: ['alias', `${ROUNDS + 1}`],
      env: [],
      provider: null,
      files: [{ path: '/alias', mode: 0o755, bytes: image }],
      report: () => undefined,
    },
  });

  expect([result.failure, result.report?.exit]).toEqual([null, { kind: 'exit', code: 0 }]);
  expect(output).toBe(`page 0x${seen.address.toString(16)}\n${ROUNDS + 1} rounds answered\n`);
  const expected = Array.from({ length: ROUNDS }, (_, i) => Math.imul(i + 1, 2654435761) >>> 0);
  expect(seen.answers).toEqual(expected);
  expect(seen.callsWhileSpinning).toBe(0);
  // The bytes lie in one frame of the machine, and that is where the program's answers appeared.
  expect(seen.hostFrames).toHaveLength(1);
  expect(seen.inRam).toEqual(expected);
  // For the guest kernel it is one guest frame too: the program's page, and physmem's page at virtual = physical.
  const at = (va: number): number[] => [...guestFrames].filter(([place]) => place.endsWith(`:${va}`)).map(([, frame]) => frame);
  const names = new Set(at(seen.address).filter((frame) => frame * PAGE !== seen.address)); // the latter is physmem's own
  expect(names.size).toBe(1);
  const [name] = names;
  expect(at((name as number) * PAGE)).toContain(name);
});
