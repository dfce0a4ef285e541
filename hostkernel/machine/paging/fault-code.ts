/**
 * What an architecture reports for a refused walk: an x86 page-fault error code, an EPT exit reason, a RISC-V cause, an
 * ARM fault status, a SPARC fault type. A walk's own result is a FaultKind, the same for all formats; this is its
 * translation, made when somebody asks. m68k, Power and virtual page tables report none that is modelled.
 */
import type { FaultKind, LayoutDescriptor, Options, U64 } from './descriptor.ts';

export interface Refusal {
  readonly kind: FaultKind;
  readonly level: number;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly entry: U64 | null; // the one that refused; null where none was read
}

/** The code, 'gp' for what an x86 processor reports as a general-protection fault, or null: none is defined. */
export function faultCode(layout: LayoutDescriptor, options: Options, refusal: Refusal): number | 'gp' | null {
  if (refusal.kind === 'bus') return null;
  switch (layout.arch) {
    case 'x86':
      return layout.stage === 2 ? eptExitReason(refusal) : x86ErrorCode(layout, options, refusal);
    case 'riscv':
      return (layout.stage === 2 ? { r: 21, w: 23, x: 20 } : { r: 13, w: 15, x: 12 })[refusal.access];
    case 'armv8':
      return armv8Status(refusal);
    case 'armv7':
      return armv7Status(refusal);
    case 'sparc':
      return sparcStatus(layout, refusal);
    default:
      return null;
  }
}

/** Misconfiguration or violation. */
function eptExitReason({ kind }: Refusal): number {
  return kind === 'misconfig' ? 49 : 48;
}

/** Bit 0 present, 1 write, 2 user, 3 reserved bit, 4 fetch (if the processor can forbid fetches at all). */
function x86ErrorCode(layout: LayoutDescriptor, options: Options, { kind, level, access, mode }: Refusal): number | 'gp' | null {
  if (kind === 'noncanonical') return 'gp';
  const { name } = layout.levels[layout.levels.length - 1 - level];
  if (layout.perm.skip?.includes(name) === true && kind === 'reserved') return null; // noticed when CR3 is loaded
  const tellsFetches = options.nxe === 1 || options.smep === 1;
  return (
    (kind === 'not-present' ? 0 : 1) |
    (access === 'w' ? 2 : 0) |
    (mode === 'user' ? 4 : 0) |
    (kind === 'reserved' ? 8 : 0) |
    (access === 'x' && tellsFetches ? 16 : 0)
  );
}

/** The low six bits of the syndrome: a base and the manual's number of the level, 3 for the last. */
function armv8Status({ kind, level }: Refusal): number | null {
  const archLevel = 3 - level;
  switch (kind) {
    case 'noncanonical':
      return 4; // a translation fault of level 0
    case 'not-present':
      return 4 + archLevel;
    case 'address-size':
      return archLevel;
    case 'access-flag':
      return 8 + archLevel;
    case 'protection':
      return 12 + archLevel;
    default:
      return null;
  }
}

/** Section or page. */
function armv7Status({ kind, level }: Refusal): number | null {
  const page = level === 0 ? 2 : 0;
  switch (kind) {
    case 'not-present':
      return 5 + page;
    case 'domain':
      return 9 + page;
    case 'protection':
      return 13 + page;
    default:
      return null;
  }
}

/** Type 1 invalid, 2 protection, 3 privilege (ACC 6 and 7 used by a user), 4 translation: with the level, from the root. */
function sparcStatus(layout: LayoutDescriptor, { kind, level, mode, entry }: Refusal): number {
  const depth = layout.levels.length - 1 - level;
  if (kind === 'not-present') return (depth << 8) | (1 << 2);
  if (kind === 'reserved') return (depth << 8) | (4 << 2);
  const isSupervisors = entry !== null && ((entry.lo >>> 2) & 7) >= 6;
  return (mode === 'user' && isSupervisors ? 3 : 2) << 2;
}
