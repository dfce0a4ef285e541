/**
 * What does it cost to enter the host kernel? A system call of a RISC-V program and of a TypeScript one; and
 * vmspace_ctl(RUN), from a TypeScript vkernel into a guest that makes a system call, and back.
 *
 * Reported first: what repeats exactly. A guest system call is one RUN, no fault, no walk of a virtual page table.
 */
import b from 'benny';
import { Tracer } from '../../hostkernel/base/trace.ts';
import { EXEC, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  type Host,
  HostKernel,
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  SYS_getpid,
  SYS_mmap,
  SYS_vmspace_create,
  SYS_vmspace_mmap,
  SYS_vmspace_pwrite,
  TF_PC,
  VF_CLEAN,
  VF_FLAGS,
} from '../../hostkernel/kern/index.ts';
import { compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import { buildElf, code } from '../../tests/hostkernel/base/elf-builder.ts';
import { type Counters, type Files, Suite } from '../suite.ts';

const BATCH = 4096; // calls a measured step makes
const ID = 0x1000;
const GUEST = 0x40_0000;
const ECALL = 0x73;
const ADDI_A7_GETPID = (SYS_getpid << 20) | (17 << 7) | 0x13;
const JUMP_BACK = 0xffdf_f06f; // j -4
const ADD_FLOAT = 0x0220_f0d3; // fadd.d f1, f1, f2

function kernel(timeSlice: number): HostKernel {
  const machine = Machine.create({ ramBytes: 16 * 2 ** 20 });
  if (machine === null) throw new Error('no memory for the machine');
  return new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: compileLayout(SV39),
    mmu32: compileLayout(SV32),
    vpte64: compileLayout(VPTE_64_NX),
    vpte32: compileLayout(VPTE_32_NX),
    timeSlice,
  });
}

/** A kernel whose one process calls `prepare` once, and what that returns BATCH times a step. */
function bodyKernel(prepare: (host: Host) => () => void): HostKernel {
  const made = kernel(1_000_000);
  made.spawnBody(
    'bench',
    function* (host) {
      const call = prepare(host);
      for (;;) {
        for (let i = 0; i < BATCH; i++) call();
        yield;
      }
    },
    64,
  );
  made.step();
  return made;
}

/** A RUN of a guest that repeats `words`, the last of which is an ecall. */
function guestRun(words: readonly number[]): (host: Host) => () => void {
  return (host) => {
    const shared = MAP_SHARED | MAP_ANON;
    const tf = host.syscall(SYS_mmap, 0, 4096, READ | WRITE, shared, -1, 0);
    const vf = tf + 1024;
    const text = new Uint8Array(Uint32Array.from(words).buffer);
    host.memory.write(tf + 2048, text);
    host.syscall(SYS_vmspace_create, ID, 0, 0);
    host.syscall(SYS_vmspace_mmap, ID, GUEST, 4096, READ | WRITE | EXEC, shared | MAP_FIXED, -1, 0);
    host.syscall(SYS_vmspace_pwrite, ID, tf + 2048, text.length, 0, GUEST);
    host.memory.store32(vf + VF_FLAGS, VF_CLEAN);
    return () => {
      host.memory.store32(tf + TF_PC, GUEST);
      if (host.run(ID, tf, vf) !== 0) throw new Error('RUN failed');
    };
  };
}

/** A RISC-V program that does nothing but getpid; a time slice is BATCH calls. */
function callingProgram(): HostKernel {
  const made = kernel(2 * BATCH); // the jump, and one for the trap
  const text = code([ADDI_A7_GETPID, ECALL, JUMP_BACK]);
  const process = made.spawnElf(buildElf({ xlen: 64, entry: 0x10000, segments: [{ va: 0x10000, bytes: text }] }), ['bench'], []);
  if ('reason' in process) throw new Error(process.reason);
  made.step();
  return made;
}

/** What one step of `made` adds to the counters. */
function countStep(made: HostKernel): Counters {
  const { counters, vm, machine } = made;
  const before = [counters.syscalls, counters.runs, vm.counters.faults, vm.counters.walks, machine.mmu.walks, machine.hart.retired];
  made.step();
  const after = [counters.syscalls, counters.runs, vm.counters.faults, vm.counters.walks, machine.mmu.walks, machine.hart.retired];
  const [syscalls, runs, faults, walks, misses, retired] = after.map((value, i) => value - before[i]);
  return { 'system calls': syscalls, RUNs: runs, faults, 'vpte walks': walks, 'TLB misses': misses, instructions: retired };
}

export async function run(): Promise<Files> {
  const suite = new Suite('kern');
  const cases: readonly (readonly [name: string, made: HostKernel])[] = [
    ['system call, RISC-V program', callingProgram()],
    ['system call, TypeScript program', bodyKernel((host) => () => void host.syscall(SYS_getpid))],
    ['RUN of a guest system call', bodyKernel(guestRun([ECALL]))],
    ['RUN of a guest that changes floating-point state', bodyKernel(guestRun([ADD_FLOAT, ECALL]))],
  ];
  for (const [name, made] of cases) {
    const counters = countStep(made);
    suite.counts(name, counters);
    const each = Object.entries(counters).map(([counter, value]) => `${counter} ${value / BATCH}`);
    console.log(`${name}, each: ${each.join(', ')}`);
  }
  const summary = await b.suite(
    `kern: ${BATCH} calls a step`,
    ...cases.map(([name, made]) => b.add(name, () => () => void made.step())),
    b.cycle(),
  );
  suite.timesOf(summary);
  for (const result of summary.results) {
    const { median, standardDeviation } = result.details;
    const ns = (seconds: number): string => ((seconds * 1e9) / BATCH).toFixed(1);
    console.log(`  ${result.name}: ${ns(median)} ns (median; deviation ${ns(standardDeviation)})`);
  }
  return suite.files();
}
