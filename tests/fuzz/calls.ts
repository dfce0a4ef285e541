/**
 * The two ways in which random operations reach a space: straight to the VM, or as system calls of a TypeScript process,
 * on its own memory and on that of its guests.
 */
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { Tracer } from '../../hostkernel/base/trace.ts';
import {
  type Host,
  HostKernel,
  MAP_ANON,
  MAP_FIXED,
  MAP_PRIVATE,
  type Process,
  SYS_ftruncate,
  SYS_madvise,
  SYS_mcontrol,
  SYS_memfd_create,
  SYS_minherit,
  SYS_mlock,
  SYS_mmap,
  SYS_mprotect,
  SYS_munlock,
  SYS_munmap,
  SYS_pread64,
  SYS_pwrite64,
  SYS_vmspace_create,
  SYS_vmspace_destroy,
  SYS_vmspace_mcontrol,
  SYS_vmspace_mmap,
  SYS_vmspace_munmap,
} from '../../hostkernel/kern/index.ts';
import type { Machine, PageTableFormat } from '../../hostkernel/machine/index.ts';
import type { Vm, VmObject, VmSpace } from '../../hostkernel/vm/index.ts';

/** Compares what a call gives with what it should. */
export function expect(real: number, wanted: number, what: string): void {
  if (real !== wanted) throw new Error(`${what} gives ${real}, wanted ${wanted}`);
}

/** A memory image, however it is reached. */
export interface Image {
  readonly object: VmObject;
  write(at: number, bytes: Uint8Array): number;
  read(at: number, bytes: Uint8Array): number;
  /** Makes it `bytes` long and then as long as before: what was cut off is zero. */
  cut(bytes: number, whole: number): void;
  release(): void;
}

/** What is mapped where; results as those of the system calls. */
export interface Calls {
  mmap(addr: number, len: number, prot: number, flags: number, image: Image | null, offset: number): number;
  munmap(addr: number, len: number): number;
  mprotect(addr: number, len: number, prot: number): number;
  mcontrol(addr: number, len: number, behav: number, value: number): number;
  madvise(addr: number, len: number, behav: number): number;
  minherit(addr: number, len: number, inherit: number): number;
  mlock(addr: number, len: number): number;
  munlock(addr: number, len: number): number;
  destroy(): void;
}

/** Straight to the VM. */
export function directImage(vm: Vm, pages: number): Image {
  const object = vm.createObject(pages);
  return {
    object,
    write: (at, bytes) => object.write(at, bytes),
    read: (at, bytes) => object.read(at, bytes),
    cut: (bytes, whole) => {
      object.resize(Math.ceil(bytes / PAGE_SIZE));
      object.resize(Math.ceil(whole / PAGE_SIZE));
    },
    release: () => object.release(),
  };
}

export function directCalls(space: VmSpace): Calls {
  return {
    mmap: (addr, len, prot, flags, image, offset) => space.mmap({ addr, len, prot, flags, object: image?.object ?? null, offset }),
    munmap: (addr, len) => space.munmap(addr, len),
    mprotect: (addr, len, prot) => space.mprotect(addr, len, prot),
    mcontrol: (addr, len, behav, value) => space.mcontrol(addr, len, behav, value),
    madvise: (addr, len, behav) => space.madvise(addr, len, behav),
    minherit: (addr, len, inherit) => space.minherit(addr, len, inherit),
    mlock: (addr, len) => space.mlock(addr, len),
    munlock: (addr, len) => space.munlock(addr, len),
    destroy: () => space.destroy(),
  };
}

const BUFFER_PAGES = 16;
const BUFFER = 2 ** 27; // where the process keeps what it reads and writes, away from all that is at random

/** A kernel with one process that does what it is told, in its own steps. */
export class Told {
  readonly kernel: HostKernel;
  readonly process: Process;
  #job: ((host: Host) => number) | null = null;
  #result = 0;
  #isOver = false;
  #nextId = 1;
  readonly #descriptors = new Map<Image, number>();

  constructor(machine: Machine, mmu: PageTableFormat, vpte: PageTableFormat, xlen: 32 | 64) {
    this.kernel = new HostKernel({ machine, tracer: new Tracer(), mmu64: mmu, mmu32: mmu, vpte64: vpte, vpte32: vpte });
    this.process = this.kernel.spawnBody('told', (host) => this.#body(host), xlen);
    this.#call(SYS_mmap, BUFFER, BUFFER_PAGES * PAGE_SIZE, 3, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0);
  }

  /** The program: it does what it has been told. */
  *#body(host: Host): Generator<undefined, number, void> {
    while (!this.#isOver) {
      if (this.#job !== null) {
        this.#result = this.#job(host);
        this.#job = null;
      }
      yield undefined;
    }
    return 0;
  }

  #run(job: (host: Host) => number): number {
    this.#job = job;
    while (this.#job !== null) {
      if (!this.kernel.step() || this.process.exitStatus !== null) throw new Error('the process has ended');
    }
    return this.#result;
  }

  #call(nr: number, ...args: readonly number[]): number {
    return this.#run((host) => host.syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5], args[6]));
  }

  image(pages: number): Image {
    const fd = this.#call(SYS_memfd_create, 0, 0);
    if (fd < 0 || this.#call(SYS_ftruncate, fd, pages * PAGE_SIZE) !== 0) throw new Error('no memory file');
    const file = this.process.files.get(fd);
    if (file === null || file.kind !== 'memory') throw new Error('no memory file');
    const pieces = (bytes: Uint8Array, move: (done: number, count: number) => number): number => {
      let done = 0;
      for (let moved = 1; done < bytes.length && moved > 0; done += Math.max(moved, 0)) {
        moved = move(done, Math.min(bytes.length - done, BUFFER_PAGES * PAGE_SIZE));
      }
      return done;
    };
    const image: Image = {
      object: file.object,
      write: (at, bytes) =>
        pieces(bytes, (done, count) =>
          this.#run((host) => {
            host.memory.write(BUFFER, bytes.subarray(done, done + count));
            return host.syscall(SYS_pwrite64, fd, BUFFER, count, at + done);
          }),
        ),
      read: (at, bytes) =>
        pieces(bytes, (done, count) =>
          this.#run((host) => {
            const moved = host.syscall(SYS_pread64, fd, BUFFER, count, at + done);
            if (moved > 0) host.memory.read(BUFFER, bytes.subarray(done, done + moved));
            return moved;
          }),
        ),
      cut: (bytes, whole) => {
        if (this.#call(SYS_ftruncate, fd, bytes) !== 0 || this.#call(SYS_ftruncate, fd, whole) !== 0) throw new Error('ftruncate');
      },
      release: () => undefined, // with the process
    };
    this.#descriptors.set(image, fd);
    return image;
  }

  /** System calls on the process's own space. */
  get own(): Calls {
    return {
      mmap: (addr, len, prot, flags, image, offset) => this.#call(SYS_mmap, addr, len, prot, flags, this.#fd(image), offset),
      munmap: (addr, len) => this.#call(SYS_munmap, addr, len),
      mprotect: (addr, len, prot) => this.#call(SYS_mprotect, addr, len, prot),
      mcontrol: (addr, len, behav, value) => this.#call(SYS_mcontrol, addr, len, behav, value),
      madvise: (addr, len, behav) => this.#call(SYS_madvise, addr, len, behav),
      minherit: (addr, len, inherit) => this.#call(SYS_minherit, addr, len, inherit),
      mlock: (addr, len) => this.#call(SYS_mlock, addr, len),
      munlock: (addr, len) => this.#call(SYS_munlock, addr, len),
      destroy: () => undefined, // with the process
    };
  }

  /** A guest space, and the system calls on it; what there is no call for goes straight to the VM. */
  guest(): { readonly space: VmSpace; readonly calls: Calls } {
    const id = this.#nextId;
    this.#nextId += 1;
    if (this.#call(SYS_vmspace_create, id, 0, 0) !== 0) throw new Error('vmspace_create');
    const space = this.process.group?.find(id)?.space;
    if (space === undefined) throw new Error('no space');
    const calls: Calls = {
      ...directCalls(space),
      mmap: (addr, len, prot, flags, image, offset) => this.#call(SYS_vmspace_mmap, id, addr, len, prot, flags, this.#fd(image), offset),
      munmap: (addr, len) => this.#call(SYS_vmspace_munmap, id, addr, len),
      mcontrol: (addr, len, behav, value) => this.#call(SYS_vmspace_mcontrol, id, addr, len, behav, value),
      madvise: (addr, len, behav) => this.#call(SYS_vmspace_mcontrol, id, addr, len, behav, 0),
      destroy: () => {
        if (this.#call(SYS_vmspace_destroy, id) !== 0) throw new Error('vmspace_destroy');
      },
    };
    return { space, calls };
  }

  /** The process ends, and everything it had. */
  end(): void {
    this.#isOver = true;
    this.kernel.run();
  }

  #fd(image: Image | null): number {
    return image === null ? -1 : (this.#descriptors.get(image) as number);
  }
}
