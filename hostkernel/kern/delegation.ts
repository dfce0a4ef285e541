/**
 * Delegation: a RUN within a RUN, without the kernel in between.
 *
 * A kernel that is a guest of ours (M) runs a vkernel (K) in its space p, which has it run a guest (G) in its space s.
 * Both are spaces of M here. Ordinarily every trap of G is a trap out to M, a RUN of p, a system call of K to M, and a
 * RUN of s: four entries, and 2^d if M is not the outermost. M may tell us once that s is run by whoever is in p:
 *
 *        M: vmspace_ctl(RUN, p)        vmspace_delegate(s, p, key): what K calls `key` is s
 *        |
 *        p: ecall vmspace_ctl(key, RUN, tf, vf)  ---->  s: G runs, from the registers in K's frames
 *        p: goes on behind its ecall, a0 = 0     <----  s: ecall, breakpoint, illegal instruction, end of K's budget
 *
 * Then a system call of G is two entries, however deep. Everything else is as if there were no delegation:
 *
 *   page fault of G that the tables of s resolve     resolved here, as always
 *   page fault that they refuse                      K is put back before its ecall, and M gets that ecall: it makes the
 *                                                    RUN itself, and has the fault at once. Its business stays its own
 *   anything odd in K's call (key, frames)           M gets the ecall, and refuses it in its own words
 *   end of M's slice, or of the budget M gave        K's RUN returns 0 with trapno 0, as for a signal; then M has p back.
 *                                                    So M's timers interrupt K and G, and K's handler runs before K goes on
 *
 * Why nobody gains anything by it:
 *   - Only M can delegate, and only spaces of its own group. M could have run G for K, and K for G, at any time.
 *   - K names s by a key that M chose, in p only; frames are read and written with the rights that p has where they lie.
 *   - G's registers go to p's frames, where M would have put them. K's registers wait in the host, not in memory.
 *   - Instructions count against every budget on the way: M's, and each vkernel's own.
 *   - M never sees the middle of a delegated RUN: when its own RUN returns, K is before its ecall or behind it. So it can
 *     destroy, invalidate, signal and kill as ever. Its invalidations reach s before it can say RUN, since they name s.
 *   - Spaces are pinned (`runners`) while they are on the stack; one that is destroyed takes its delegations with it.
 *   - A space has one delegation, so what M can make us remember is bounded by the spaces it has.
 *
 * Invariants:
 *   L1  outside of an execution the stack is empty
 *   L2  every space on the stack, as caller or as guest, counts this execution among its runners
 */
import type { GuestSpace } from './space-group.ts';
import { RegisterFile } from './registers.ts';

/** RUNs within a RUN: a kernel in a kernel in a kernel in ours. */
export const MAX_DELEGATED = 3;

/** One RUN within a RUN. All but `caller` mean something only while it is on the stack. */
export class DelegatedRun {
  owner: GuestSpace | null = null; // p, where the vkernel runs
  guest: GuestSpace | null = null; // s
  tf = 0; // addresses in p
  vf = 0;
  readonly caller = new RegisterFile(); // of the vkernel, its pc at the ecall
  retiredBefore = 0;
  limit = 0; // instructions its frame allows; Infinity without a budget
  leftBefore = 0; // what the levels below had left
}
