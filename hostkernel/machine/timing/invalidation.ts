/**
 * What each way to forget translations drops: the instructions of the architectures, and the operations of hosts, by name.
 *
 *                       TLB                     walk caches of programs     walk caches, nested TLBs of hosts
 *   a program's page    its entries             by architecture             stay
 *   a space             its entries             its pointers                stay
 *   a host's page       combined entries        where they may have used it its entries
 *
 * An event drops at least what its architecture promises, and what a simple implementation drops with it where the
 * architecture leaves that open; the sentence of each says which. Entries of other VMs always stay.
 */
import type { Architecture } from './config.ts';
import type { NestedTlb } from './nested-tlb.ts';
import type { Tlb } from './tlb.ts';
import { VM_SHIFT } from './tlb-array.ts';
import type { WalkCache } from './walk-cache.ts';

/** What one dimension below the programs' has. */
export interface HostStructures {
  readonly walkCache: WalkCache | null;
  readonly nested: NestedTlb | null;
}

/** All structures of one processor. */
export interface TranslationStructures {
  readonly tlb: Tlb;
  readonly guestCaches: readonly WalkCache[]; // tagged by a program's addresses
  readonly hosts: readonly HostStructures[]; //  of dimension 1, and 2
}

/** What an event names; each looks at what it needs. */
export interface Forgotten {
  readonly space: number; // (vm << VM_SHIFT) | id
  readonly page: number; //  of the program, or of the input of the host's dimension
  readonly pages: number;
  readonly dimension: number; // 1 or 2, of events of hosts
}

export interface InvalidationEvent {
  readonly drops: string;
  /** @returns entries dropped */
  readonly apply: (structures: TranslationStructures, what: Forgotten) => number;
}

function dropGuestCaches({ guestCaches }: TranslationStructures, drop: (cache: WalkCache) => number): number {
  let dropped = 0;
  for (const cache of guestCaches) dropped += drop(cache);
  return dropped;
}

/** The host's entries for its pages, and everything of the dimensions above it that went through them. */
function dropHostPages({ hosts }: TranslationStructures, { space, page, pages, dimension }: Forgotten): number {
  const vm = space >>> VM_SHIFT;
  let dropped = 0;
  hosts.forEach(({ walkCache, nested }, i) => {
    if (i + 1 === dimension) {
      dropped += walkCache?.invalidateRange(vm, page, pages) ?? 0;
      dropped += nested?.invalidateRange(vm, page, pages) ?? 0;
    } else if (i + 1 < dimension) {
      dropped += walkCache?.invalidateAll() ?? 0;
      dropped += nested?.invalidateAll() ?? 0;
    }
  });
  return dropped;
}

const vmOf = (space: number): number => space >>> VM_SHIFT;

function dropSpace(structures: TranslationStructures, { space }: Forgotten): number {
  return structures.tlb.invalidateSpace(space) + dropGuestCaches(structures, (cache) => cache.invalidateSpace(space));
}

function dropVm(structures: TranslationStructures, { space }: Forgotten): number {
  const vm = vmOf(space);
  return structures.tlb.invalidateVm(vm) + dropGuestCaches(structures, (cache) => cache.invalidateVm(vm));
}

function dropOwnLeaves({ tlb }: TranslationStructures, { space, page, pages }: Forgotten): number {
  let dropped = 0;
  for (let at = page; at < page + pages; at++) dropped += tlb.invalidateOwnPage(space, at);
  return dropped;
}

function dropLeavesOfVm({ tlb }: TranslationStructures, { space, page, pages }: Forgotten): number {
  let dropped = 0;
  for (let at = page; at < page + pages; at++) dropped += tlb.invalidatePageOfVm(vmOf(space), at);
  return dropped;
}

function dropLeaves({ tlb }: TranslationStructures, { space, page, pages }: Forgotten): number {
  return tlb.invalidateRange(space, page, pages);
}

/** Leaves of the range, and the pointers on the way to it. */
function dropWays(structures: TranslationStructures, what: Forgotten): number {
  const { space, page, pages } = what;
  return dropLeaves(structures, what) + dropGuestCaches(structures, (cache) => cache.invalidateRange(space, page, pages));
}

/** Leaves of the range, and all pointers of the space. */
function dropLeavesAndPointers(structures: TranslationStructures, what: Forgotten): number {
  return dropLeaves(structures, what) + dropGuestCaches(structures, (cache) => cache.invalidateSpace(what.space));
}

/** A host's pages change, and nobody knows which combined entries went through them. */
function dropHostPagesAndVm(structures: TranslationStructures, what: Forgotten): number {
  return dropVm(structures, what) + dropHostPages(structures, what);
}

export const INVALIDATIONS = {
  // Intel SDM volume 3, 4.10.4; AMD APM volume 2, 5.5.
  'x86 INVLPG': { drops: 'entries for the page in all sizes, global ones too; all pointers of the space', apply: dropLeavesAndPointers },
  'x86 CR3 write without ids': {
    drops: 'everything but global entries; all pointers',
    apply: (structures) => structures.tlb.invalidateAllButGlobal() + dropGuestCaches(structures, (cache) => cache.invalidateAll()),
  },
  'x86 CR3 write with ids': { drops: 'nothing: entries of other spaces do not match', apply: () => 0 },
  'x86 CR4.PGE write': {
    drops: 'everything, global entries too; all pointers',
    apply: (structures) => structures.tlb.invalidateAll() + dropGuestCaches(structures, (cache) => cache.invalidateAll()),
  },

  // RISC-V privileged specification, SFENCE.VMA and HFENCE: with an address they reach leaves only.
  'riscv SFENCE.VMA va, asid': {
    drops: 'leaf entries for the page of that space; neither global entries nor pointers',
    apply: dropOwnLeaves,
  },
  'riscv SFENCE.VMA va, 0': { drops: 'leaf entries for the page of all spaces, global ones too; no pointers', apply: dropLeavesOfVm },
  'riscv SFENCE.VMA 0, asid': { drops: 'everything of that space but global entries; its pointers', apply: dropSpace },
  'riscv SFENCE.VMA 0, 0': { drops: 'everything of the VM, or of a machine without one; pointers too', apply: dropVm },
  'riscv HFENCE.VVMA va, asid': {
    drops: 'first-stage entries for the page of that space; neither global entries nor pointers, nor anything of the host',
    apply: dropOwnLeaves,
  },
  'riscv HFENCE.VVMA 0, 0': { drops: 'all first-stage and combined entries of the VM; pointers too; nothing of the host', apply: dropVm },
  'riscv HFENCE.GVMA gpa, vmid': {
    drops: 'all combined entries and pointers of the VM, which do not say what they went through; what leads to the page in the host',
    apply: dropHostPagesAndVm,
  },

  // Arm Architecture Reference Manual, TLB maintenance instructions.
  'arm TLBI VAE1': { drops: 'entries for the page, global ones too; pointers on the way to it', apply: dropWays },
  'arm TLBI VALE1': { drops: 'entries of the last level for the page, global ones too; no pointers', apply: dropLeaves },
  'arm TLBI ASIDE1': { drops: 'everything of that space but global entries; its pointers', apply: dropSpace },
  'arm TLBI VMALLE1': { drops: 'all first-stage and combined entries of the VM; pointers too; nothing of the host', apply: dropVm },
  'arm TLBI IPAS2E1': {
    drops: 'what leads to the page in the host; combined entries stay, so TLBI VMALLE1 must follow',
    apply: dropHostPages,
  },

  // What the two kinds of host do.
  'vpagetable invalidate': {
    drops: 'entries for the range in all sizes, and pointers on the way, after the entries of the real page table were removed',
    apply: dropWays,
  },
  'host unmap': {
    drops: 'all combined entries and pointers of the VM, for want of a reverse map to them; what leads to the pages in the host',
    apply: dropHostPagesAndVm,
  },
} as const satisfies Readonly<Record<string, InvalidationEvent>>;

export type InvalidationName = keyof typeof INVALIDATIONS;

/** A kernel has changed pages of a space, and makes the processor forget them as its architecture does. */
export function forgetPages(structures: TranslationStructures, architecture: Architecture, what: Forgotten, tablesToo: boolean): number {
  switch (architecture) {
    case 'x86':
      return INVALIDATIONS['x86 INVLPG'].apply(structures, what);
    case 'arm':
      return INVALIDATIONS[tablesToo ? 'arm TLBI VAE1' : 'arm TLBI VALE1'].apply(structures, what);
    default:
      // RISC-V: by address and asid, or by address alone if the page is global. For pointers a fence without address follows;
      // what that one drops of the space's other leaves is left, as if they were looked up again at once.
      return tablesToo ? dropLeavesAndPointers(structures, what) : dropLeaves(structures, what);
  }
}
