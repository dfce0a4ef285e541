/**
 * What can be seen of a guest from outside it: every entry its kernel writes, every invalidation it executes, every
 * switch. A hypervisor traps some of these, and the methods differ in which. Calls are made in the order in which the
 * guest does these things, after it has done them.
 */
export interface GuestWatcher {
  /** The kernel stored an entry of `space`, at byte `entryAddress` of guest-physical memory; `page` is the first it covers. */
  entryWritten(space: number, level: number, entryAddress: number, page: number): void;

  /**
   * The kernel made the processor forget the translations of `pages` pages from `page` on.
   * @param pages Infinity: the whole space
   * @param singles single-page invalidations it takes on hardware; 0: so many that the guest flushes the space instead
   * @param tablesToo tables have gone since the last time: pointers to them must be forgotten as well
   */
  invalidated(space: number, page: number, pages: number, singles: number, tablesToo: boolean): void;

  /** The processor goes to `space`. */
  switched(space: number): void;

  /** `space` exists from now on, with an empty root table at byte `root`. */
  created(space: number, root: number): void;

  /** `space` is about to lose its tables: nothing of it is used from here on. */
  destroyed(space: number): void;
}
