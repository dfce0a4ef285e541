/**
 * VirtualMachine: the hardware of a host kernel that is a process of a host kernel.
 *
 *   HostKernel (inner)      processes, VM, pmap: the same code as on the real machine
 *   VirtualMachine          Hardware (machine/hardware.ts), by system calls of the outer kernel:
 *     ram      VirtualRam      a memory image, mapped linearly into the process
 *     hart     VirtualHart     vmspace_ctl(RUN)
 *     context  VirtualContext  a vmspace, mapped MAP_VPAGETABLE over its whole user range, root = the inner page table
 *     console                  descriptors 0, 1, 2 of the process
 *     clock                    counts what this machine's guests execute and its kernel is charged
 *   Host (outer)            system calls only
 *
 * The clock is this machine's own: what the outer host spends on others is not in it, and reading it costs no entry.
 *
 *   depth 2:   process  | inner kernel | outer kernel | machine
 *              PTE in the inner kernel's RAM = VPTE for the outer kernel, whose PTE is in its own RAM = ... = real PTE
 *
 * Source: DragonFly BSD virtual kernels run nested since January 2007; sys/vm/vm_vmspace.c.
 */
import type { HostFrame } from '../../hostkernel/base/units.ts';
import { PAGE_SIZE, READ, WRITE } from '../../hostkernel/base/units.ts';
import { type Host, MAP_ANON, MAP_PRIVATE, SYS_mmap, SYS_read, SYS_vmspace_delegate, SYS_write } from '../../hostkernel/kern/index.ts';
import { Clock, Console, type Hardware, type PageTableFormat, type TranslationContext } from '../../hostkernel/machine/index.ts';
import { kassert } from '../../hostkernel/base/assert.ts';
import { Invalidations } from './invalidations.ts';
import { type ContextHome, VirtualContext } from './virtual-context.ts';
import { VirtualHart } from './virtual-hart.ts';
import { VirtualRam } from './virtual-ram.ts';

/** Pages of our own: frames of registers, a bounce buffer, vectors of invalidations. */
const FRAMES_PAGE = 0;
const BOUNCE_PAGE = 1;
const VECTOR_PAGE = 2;
const OWN_PAGES = 3;
/** Offsets in the first of them. */
const TF = 0;
const VF = 512;
const STUB_TF = 1024;

export class VirtualMachine implements Hardware {
  readonly ram: VirtualRam;
  readonly hart: VirtualHart;
  readonly harts = 1;
  readonly clock: Clock;
  readonly console: Console;
  readonly disk = null;
  readonly userLimit: number;
  /** Whether the host is told which of our spaces runs which: kern/delegation.ts. */
  delegates = false;
  readonly invalidations: Invalidations;
  /** Software walks of this kernel's tables, for its own accesses. */
  readonly walkCounters = { walks: 0, walkReferences: 0 };
  readonly #home: ContextHome;
  #nextSpace = 1;

  /** @param frames of RAM @returns the machine, or -errno of the host call that failed */
  static create(host: Host, frames: number): VirtualMachine | number {
    const ram = VirtualRam.create(host, frames);
    if (typeof ram === 'number') return ram;
    const own = host.syscall(SYS_mmap, 0, OWN_PAGES * PAGE_SIZE, READ | WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    return own < 0 ? own : new VirtualMachine(host, ram, own);
  }

  private constructor(host: Host, ram: VirtualRam, own: number) {
    const first = own + FRAMES_PAGE * PAGE_SIZE;
    this.ram = ram;
    this.userLimit = host.userEnd - PAGE_SIZE; // the stub is above
    this.invalidations = new Invalidations(host, own + VECTOR_PAGE * PAGE_SIZE, this.userLimit / PAGE_SIZE);
    this.hart = new VirtualHart(
      host,
      { tf: first + TF, vf: first + VF, stubTf: first + STUB_TF, stub: this.userLimit },
      this.invalidations,
    );
    this.clock = new Clock(this.hart);
    this.console = consoleOf(host, own + BOUNCE_PAGE * PAGE_SIZE);
    this.#home = { host, ram, userLimit: this.userLimit, invalidations: this.invalidations, walkCounters: this.walkCounters };
  }

  get mmu(): { readonly walks: number; readonly walkReferences: number; readonly shootDowns: number } {
    return { ...this.walkCounters, shootDowns: this.invalidations.calls };
  }

  select(k: number): void {
    kassert(k === 0, 'machine: no such hart');
  }

  createContext(format: PageTableFormat, root: HostFrame): VirtualContext | null {
    const context = VirtualContext.create(this.#home, this.#nextSpace, format, root);
    if (typeof context === 'number') return null;
    this.#nextSpace++;
    return context;
  }

  /** Tells the host, if this machine delegates. From then on a guest may run in `context` without our saying so. */
  delegate(context: TranslationContext, owner: TranslationContext, key: number): void {
    if (!this.delegates) return;
    const guest = context as VirtualContext; // the only contexts this machine makes
    guest.hosted = true;
    this.#home.host.syscall(SYS_vmspace_delegate, guest.id, (owner as VirtualContext).id, key);
  }

  trapFromBody(context: TranslationContext): void {
    this.hart.ecall(context as VirtualContext); // the only contexts this machine makes
  }
}

/** The console as descriptors of the process. Console output the host does not take is lost, as on a line nobody reads. */
function consoleOf(host: Host, bounce: number): Console {
  return new Console({
    write: (fd, bytes) => {
      for (let done = 0; done < bytes.length; ) {
        const piece = bytes.subarray(done, done + PAGE_SIZE);
        host.memory.write(bounce, piece);
        const written = host.syscall(SYS_write, fd, bounce, piece.length);
        if (written <= 0) return;
        done += written;
      }
    },
    read: (max) => {
      const got = host.syscall(SYS_read, 0, bounce, Math.min(max, PAGE_SIZE));
      const bytes = new Uint8Array(Math.max(0, got));
      host.memory.read(bounce, bytes);
      return bytes;
    },
  });
}
