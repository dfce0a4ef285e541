/**
 * Invalidations: what the host must forget of guest spaces before anybody runs in them again.
 *
 * The kernel of this machine runs on one processor, and its guests run only where it says RUN: no translation can be
 * used between a change of a page table and the next RUN. So nothing is told to the host before then, and all of it is
 * told in one call: taking 100 pages from ten processes costs as many host entries as taking one. The kernel's own
 * accesses do not need the host's translations at all (VirtualContext).
 *
 * Rule kept: clear the entry, invalidate, reuse the frame - where "use" is the next instruction of any guest.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { type Host, MADV_INVAL, SYS_vmspace_mcontrol, SYS_vmspace_mcontrolv } from '../../hostkernel/kern/index.ts';

/** An element of vmspace_mcontrolv's vector: id, address, length, u64 each. */
const VECTOR_BYTES = 24;
/** Ranges kept: what a page of them holds. One more, and the space it is of is forgotten as a whole. */
export const MAX_RANGES = Math.floor(PAGE_SIZE / VECTOR_BYTES);

export class Invalidations {
  /** Ranges that wait. */
  count = 0;
  /** Host calls made. */
  calls = 0;
  readonly #ids = new Float64Array(MAX_RANGES);
  readonly #starts = new Float64Array(MAX_RANGES); // pages
  readonly #ends = new Float64Array(MAX_RANGES);
  readonly #host: Host;
  readonly #vector: number; // address of a page of ours
  readonly #endPage: number; // of user space

  constructor(host: Host, vector: number, endPage: number) {
    this.#host = host;
    this.#vector = vector;
    this.#endPage = endPage;
  }

  /** The host must forget the pages [start, end) of space `id`. */
  add(id: number, start: number, end: number): void {
    const last = this.count - 1;
    if (last >= 0 && this.#ids[last] === id && start <= this.#ends[last] && end >= this.#starts[last]) {
      this.#starts[last] = Math.min(start, this.#starts[last]);
      this.#ends[last] = Math.max(end, this.#ends[last]);
      return;
    }
    if (this.count < MAX_RANGES) {
      this.#append(id, start, end);
      return;
    }
    this.drop(id);
    if (this.count === MAX_RANGES) this.flush(); // all of other spaces
    this.#append(id, 0, this.#endPage);
  }

  /** Space `id` is no more: nothing of it can be invalidated. */
  drop(id: number): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      if (this.#ids[i] === id) continue;
      this.#ids[kept] = this.#ids[i];
      this.#starts[kept] = this.#starts[i];
      this.#ends[kept] = this.#ends[i];
      kept++;
    }
    this.count = kept;
  }

  /** Tells the host. To be called before any guest runs. */
  flush(): void {
    const { count } = this;
    if (count === 0) return;
    this.calls++;
    this.count = 0;
    const result = count === 1 ? this.#one() : this.#vectored(count);
    kassert(result === 0, 'nest: an invalidation was refused');
  }

  #append(id: number, start: number, end: number): void {
    this.#ids[this.count] = id;
    this.#starts[this.count] = start;
    this.#ends[this.count] = end;
    this.count++;
  }

  #one(): number {
    const start = this.#starts[0] * PAGE_SIZE;
    return this.#host.syscall(SYS_vmspace_mcontrol, this.#ids[0], start, this.#ends[0] * PAGE_SIZE - start, MADV_INVAL, 0);
  }

  #vectored(count: number): number {
    const { memory } = this.#host;
    for (let i = 0; i < count; i++) {
      const at = this.#vector + i * VECTOR_BYTES;
      memory.store64(at, this.#ids[i]);
      memory.store64(at + 8, this.#starts[i] * PAGE_SIZE);
      memory.store64(at + 16, (this.#ends[i] - this.#starts[i]) * PAGE_SIZE);
    }
    return this.#host.syscall(SYS_vmspace_mcontrolv, this.#vector, count);
  }
}
