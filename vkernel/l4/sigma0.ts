/**
 * sigma0: the thread that owns all conventional memory and hands each page to one thread only.
 *
 *   request (-6 << 4, fpage, attributes)   base: that page;  base all ones: any page of that size
 *   page fault                             the base page at the fault address
 *   answer                                 a map item; nil fpage = refused (for a fault also the label EFAULT)
 *
 * A repeated request of the same thread succeeds, that of another is refused. Kernel-reserved frames and addresses
 * beyond memory are refused. A request that has not two words gets no answer.
 * Source: L4 X.2, "Sigma0".
 */
import { EFAULT } from '../../hostkernel/base/errno.ts';
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { FPAGE_MIN_SHIFT, FPAGE_NIL, type Fpage, fpage, fpageBase, fpageIsAny, fpageShift, RIGHTS_ALL } from './fpage.ts';
import { LABEL_PAGE_FAULT, LABEL_SIGMA0, LABEL_SIGMA0_EXTENDED, type Message } from './message.ts';
import type { KernelState } from './state.ts';
import { ANY, NIL, type ThreadId } from './thread-id.ts';
import type { L4Body } from './user.ts';

const KERNEL = -1; // owner of frames that page tables took

/** Who has which frame. */
export class FrameOwners {
  readonly #kernel: KernelState;
  readonly #owner: Float64Array; // by frame: 0 free, KERNEL, or a thread id
  readonly #hint = new Int32Array(64); // by log2 of pages: no free block of that size lies below

  constructor(kernel: KernelState) {
    this.#kernel = kernel;
    const { image } = kernel.platform;
    this.#owner = new Float64Array(image.frames);
    this.#owner.fill(KERNEL, 0, image.reserved);
    image.giveTop = (frame) => this.#takeForKernel(frame);
  }

  /** A frame at the top that nobody has becomes the kernel's. */
  #takeForKernel(frame: number): boolean {
    if (this.#owner[frame] !== 0 || !this.#kernel.maps.isUntouched(frame)) return false;
    this.#owner[frame] = KERNEL;
    return true;
  }

  /** Gives frames [start, start + pages) to `thread`, if all are free or its own. @returns whether it has them now */
  claim(start: number, pages: number, thread: ThreadId): boolean {
    if (!this.#isFreeOr(start, pages, thread)) return false;
    this.#owner.fill(thread, start, start + pages);
    return true;
  }

  /** Gives any free aligned block of 2^log2Pages frames to `thread`. @returns its first frame, or -1 */
  claimAny(log2Pages: number, thread: ThreadId): number {
    const pages = 2 ** log2Pages;
    const end = this.#kernel.platform.image.conventionalEnd;
    for (let start = this.#hint[log2Pages] as number; start + pages <= end; start += pages) {
      if (!this.#isFreeOr(start, pages, NIL)) continue;
      this.#hint[log2Pages] = start + pages;
      this.#owner.fill(thread, start, start + pages);
      return start;
    }
    this.#hint[log2Pages] = Math.min(end, 2 ** 30);
    return -1;
  }

  #isFreeOr(start: number, pages: number, thread: ThreadId): boolean {
    if (!(start >= 0 && start + pages <= this.#owner.length)) return false;
    for (let frame = start; frame < start + pages; frame++) {
      const owner = this.#owner[frame] as number;
      if (owner !== 0 && owner !== thread) return false;
    }
    return true;
  }

  /** Frames nobody has. */
  get free(): number {
    return this.#owner.reduce((count, owner) => count + (owner === 0 ? 1 : 0), 0);
  }
}

/** The program of sigma0. @param rootServer may ask for the extended functions */
export function sigma0Body(owners: FrameOwners, log: (line: string) => void, rootServer: ThreadId): L4Body {
  return function* sigma0(l4) {
    const { message } = l4;
    yield* l4.receive(ANY);
    for (;;) {
      let client: ThreadId = NIL;
      if (l4.error === 0) client = serve(owners, message, l4.from, rootServer, log) ? l4.from : NIL;
      yield* l4.replyWait(client, ANY);
    }
  };
}

/** Turns the request in `message` into its answer. @returns whether there is one */
function serve(owners: FrameOwners, message: Message, from: ThreadId, rootServer: ThreadId, log: (line: string) => void): boolean {
  const { label } = message;
  const isFault = label >= LABEL_PAGE_FAULT && label < LABEL_PAGE_FAULT + 8;
  if (message.typed !== 0 || message.untyped !== 2) return false;
  if (label === LABEL_SIGMA0_EXTENDED && from === rootServer) {
    log(`sigma0: ${owners.free} pages free`);
    message.begin(0);
    return true;
  }
  if (label !== LABEL_SIGMA0 && !isFault) return false;
  const page = isFault ? fpage(message.word(1), FPAGE_MIN_SHIFT, RIGHTS_ALL) : message.signed(1);
  const given = give(owners, page, from);
  message.begin(isFault && given === FPAGE_NIL ? EFAULT : 0);
  message.appendMap(given === FPAGE_NIL ? 0 : fpageBase(given), given);
  return true;
}

/** @returns the fpage that is `from`'s now, or nil */
function give(owners: FrameOwners, page: Fpage, from: ThreadId): Fpage {
  const shift = fpageShift(page);
  if (shift < FPAGE_MIN_SHIFT || shift > 47) return FPAGE_NIL;
  const log2Pages = shift - FPAGE_MIN_SHIFT;
  if (!fpageIsAny(page)) {
    const base = fpageBase(page);
    return owners.claim(base / PAGE_SIZE, 2 ** log2Pages, from) ? fpage(base, shift, RIGHTS_ALL) : FPAGE_NIL;
  }
  const start = owners.claimAny(log2Pages, from);
  return start < 0 ? FPAGE_NIL : fpage(start * PAGE_SIZE, shift, RIGHTS_ALL);
}
