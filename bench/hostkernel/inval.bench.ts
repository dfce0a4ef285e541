/**
 * What does it cost a vkernel to have many scattered pages of a guest forgotten: by a call for each page, by vectors, by the
 * frame, or by one call for all that lies between?
 *
 * Every second page of a guest space is mapped, so that no range names two of them. Counts come first: calls into the host
 * and real PTEs dropped repeat exactly. Times are those of the invalidations alone; mapping the pages again is not in them.
 */
import { Tracer } from '../../hostkernel/base/trace.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import {
  type Host,
  HostKernel,
  MADV_INVAL,
  MADV_SETMAP,
  MAP_ANON,
  MAP_FIXED,
  MAP_SHARED,
  MAP_VPAGETABLE,
  SYS_ftruncate,
  SYS_mcontrol_frames,
  SYS_memfd_create,
  SYS_mmap,
  SYS_vmspace_create,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mcontrolv,
  SYS_vmspace_mmap,
} from '../../hostkernel/kern/index.ts';
import { compileLayout, Machine, SV32, SV39, VPTE_32_NX, VPTE_64_NX } from '../../hostkernel/machine/index.ts';
import { FAULT_OK, type VmSpace } from '../../hostkernel/vm/index.ts';
import { summary } from '../cpu-time.ts';
import { type Files, Suite } from '../suite.ts';

const PAGES = 10_000; // mapped, every second one
const SPAN = 2 * PAGES * PAGE_SIZE; // bytes from the first to the last
const ID = 0x1000;
const LINEAR = 0xc3; // root VPTE: V, RW, M, PS
const VECTOR_MAX = 4096; // ranges in one call
const RANGE_BYTES = 24;
const ROUNDS = 15;

/** Forgets `n` pages from page number `first` on, of those that are mapped. */
type Forget = (first: number, n: number) => void;

const address = (page: number): number => 2 * page * PAGE_SIZE;

function ways(host: Host, fd: number): readonly (readonly [name: string, forget: Forget])[] {
  const vector = host.syscall(SYS_mmap, 0, VECTOR_MAX * RANGE_BYTES, READ | WRITE, MAP_SHARED | MAP_ANON, -1, 0);
  const records = new Int32Array(VECTOR_MAX * 6); // { id u64, addr u64, len u64 }, all below 2^31
  const bytes = new Uint8Array(records.buffer);
  return [
    [
      'one by one',
      (first, n) => {
        for (let i = first; i < first + n; i++) host.syscall(SYS_vmspace_mcontrol, ID, address(i), PAGE_SIZE, MADV_INVAL, 0);
      },
    ],
    [
      'vectors',
      (first, n) => {
        for (let done = 0; done < n; done += VECTOR_MAX) {
          const count = Math.min(VECTOR_MAX, n - done);
          for (let i = 0; i < count; i++) {
            records[6 * i] = ID;
            records[6 * i + 2] = address(first + done + i);
            records[6 * i + 4] = PAGE_SIZE;
          }
          host.memory.write(vector, bytes.subarray(0, count * RANGE_BYTES));
          host.syscall(SYS_vmspace_mcontrolv, vector, count);
        }
      },
    ],
    [
      'by frame, everywhere',
      (first, n) => {
        for (let i = first; i < first + n; i++) host.syscall(SYS_mcontrol_frames, fd, address(i), PAGE_SIZE);
      },
    ],
    ['all that lies between', (first, n) => host.syscall(SYS_vmspace_mcontrol, ID, address(first), n * 2 * PAGE_SIZE, MADV_INVAL, 0)],
  ];
}

/** Maps every page that has no real PTE. */
function mapAll(space: VmSpace): void {
  for (let page = 0; page < PAGES; page++) {
    if (space.faultNow(address(page), WRITE) !== FAULT_OK) throw new Error('fault refused');
  }
}

export function run(): Files {
  const suite = new Suite('inval');
  const machine = Machine.create({ ramBytes: 2 * SPAN });
  if (machine === null) throw new Error('no memory for the machine');
  const kernel = new HostKernel({
    machine,
    tracer: new Tracer(),
    mmu64: compileLayout(SV39),
    mmu32: compileLayout(SV32),
    vpte64: compileLayout(VPTE_64_NX),
    vpte32: compileLayout(VPTE_32_NX),
  });
  // oxlint-disable-next-line require-yield
  const process = kernel.spawnBody(
    'bench',
    function* (host) {
      const fd = host.syscall(SYS_memfd_create, 0, 0);
      host.syscall(SYS_ftruncate, fd, SPAN);
      host.syscall(SYS_vmspace_create, ID, 0, 0);
      host.syscall(SYS_vmspace_mmap, ID, 0, SPAN, READ | WRITE, MAP_SHARED | MAP_FIXED | MAP_VPAGETABLE, fd, 0);
      host.syscall(SYS_vmspace_mcontrol, ID, 0, SPAN, MADV_SETMAP, LINEAR);
      const space = process.group?.find(ID)?.space;
      if (space === undefined) throw new Error('no space');
      const methods = ways(host, fd);
      for (const n of [1, 100, PAGES]) {
        const times = methods.map((): number[] => []);
        const calls: number[] = [];
        for (let round = -1; round < ROUNDS; round++) {
          methods.forEach(([name, forget], i) => {
            mapAll(space);
            const before = kernel.counters.syscalls;
            const start = performance.now();
            for (let first = 0; first < PAGES; first += n) forget(first, n);
            const took = performance.now() - start;
            calls[i] = kernel.counters.syscalls - before;
            if (space.pmap.mapped !== 0) throw new Error(`${name}: not all forgotten`);
            if (round >= 0) times[i].push(took);
          });
        }
        console.log(`${PAGES} real PTEs dropped, ${n} at a time:`);
        const slowest = summary(times[0]).median;
        methods.forEach(([name], i) => {
          const { median } = summary(times[i]);
          suite.counts(`${name}, ${n} at a time`, { calls: calls[i], 'PTEs dropped': PAGES });
          suite.times(`${name}, ${n} at a time`, times[i]);
          const ns = ((median * 1e6) / PAGES).toFixed(0);
          console.log(
            `  ${name.padEnd(22)} ${String(calls[i]).padStart(6)} calls ${ns.padStart(6)} ns a page  ${(median / slowest).toFixed(2)} of one by one`,
          );
        });
      }
      return 0;
    },
    64,
  );
  kernel.run();
  return suite.files();
}
