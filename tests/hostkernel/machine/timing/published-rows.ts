/**
 * Published counts of a fixed stream, computed by an independent program: 262144 accesses to random pages, every structure
 * fully associative with true LRU, no warm-up.
 */
import type { BareMachine } from './bare-machine.ts';

const ACCESSES = 262144;
const LARGE = 21;

/** The program's pages are at byte 0x10000000000 + 4096 * i. */
export const FIRST_PAGE = 0x10000000;

/** x = (x * 6364136223846793005 + 1442695040888963407) mod 2^64 from 1; x >> 33. */
export function fixedStream(): Uint32Array {
  const stream = new Uint32Array(ACCESSES);
  let x = 1n;
  for (let i = 0; i < ACCESSES; i++) {
    x = (x * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    stream[i] = Number(x >> 33n);
  }
  return stream;
}

export interface Configuration extends BareMachine {
  readonly guest: string;
  readonly host: string | null;
  readonly guestShift?: number; // of the guest's pages, 12 where it is absent
  readonly hostShift?: number;
}

const GIB = 2 ** 18; // pages
const MIB_64 = 2 ** 14;
const PWC = { pwc: 32 };
const HOST_PWC = { hostPwc: 32 };
const NTLB = { ntlb: 64 };
const ALL = { ...PWC, ...HOST_PWC, ...NTLB };
const X86 = { guest: 'x86-64-4l', host: 'ept-4l' };
const RISCV = { guest: 'sv48', host: 'sv48x4' };
const NATIVE = { guest: 'sv48', host: null };

/** [what, pages, configuration, [L1 hits, L2 hits, walks, guest references, host references for tables, for data, all]] */
export const ROWS: readonly (readonly [string, number, Configuration, readonly number[]])[] = [
  ['1 GiB, native 4 levels, no PWC', GIB, NATIVE, [59, 1454, 260631, 1042524, 0, 0, 1042524]],
  ['1 GiB, native, PWC 32 per level', GIB, { ...NATIVE, ...PWC }, [59, 1454, 260631, 504940, 0, 0, 504940]],
  ['1 GiB, native 2M pages, PWC 32', GIB, { ...NATIVE, ...PWC, guestShift: LARGE }, [32812, 228820, 512, 514, 0, 0, 514]],
  ['1 GiB, nested 4+4, no caches', GIB, RISCV, [59, 1454, 260631, 1042524, 4170096, 1042524, 6255144]],
  ['1 GiB, nested, guest PWC 32', GIB, { ...RISCV, ...PWC }, [59, 1454, 260631, 504940, 2019760, 1042524, 3567224]],
  ['1 GiB, nested, host PWC 32', GIB, { ...RISCV, ...HOST_PWC }, [59, 1454, 260631, 1042524, 1043813, 505549, 2591886]],
  ['1 GiB, nested, both PWC', GIB, { ...RISCV, ...PWC, ...HOST_PWC }, [59, 1454, 260631, 504940, 506229, 505549, 1516718]],
  ['1 GiB, nested, NTLB 64 only', GIB, { ...RISCV, ...NTLB }, [59, 1454, 260631, 1042524, 981904, 1042524, 3066952]],
  ['1 GiB, nested, all', GIB, { ...X86, ...ALL }, [59, 1454, 260631, 504940, 246252, 505546, 1256738]],
  ['1 GiB, guest 4K, host 2M, all', GIB, { ...RISCV, ...ALL, hostShift: LARGE }, [59, 1454, 260631, 504940, 1038, 228751, 734729]],
  ['1 GiB, guest 2M, host 4K, all', GIB, { ...X86, ...ALL, guestShift: LARGE }, [59, 1454, 260631, 260633, 6, 504939, 765578]],
  [
    '1 GiB, guest 2M, host 2M, all',
    GIB,
    { ...RISCV, ...ALL, guestShift: LARGE, hostShift: LARGE },
    [32812, 228820, 512, 514, 3, 513, 1030],
  ],
  ['1 GiB, 3+3 levels, no caches', GIB, { guest: 'sv39', host: 'sv39x4' }, [59, 1454, 260631, 781893, 2345679, 781893, 3909465]],
  ['1 GiB, 5+5 levels, no caches', GIB, { guest: 'sv57', host: 'sv57x4' }, [59, 1454, 260631, 1303155, 6515775, 1303155, 9122085]],
  ['1 GiB, 5+5 levels, all', GIB, { guest: 'x86-64-5l', host: 'ept-5l', ...ALL }, [59, 1454, 260631, 504941, 246595, 505580, 1257116]],
  ['64 MiB, native, PWC 32', MIB_64, { ...NATIVE, ...PWC }, [1050, 23532, 237562, 237596, 0, 0, 237596]],
  ['64 MiB, nested, no caches', MIB_64, RISCV, [1050, 23532, 237562, 950248, 3800992, 950248, 5701488]],
  ['64 MiB, nested, guest PWC 32', MIB_64, { ...RISCV, ...PWC }, [1050, 23532, 237562, 237596, 950384, 950248, 2138228]],
  ['64 MiB, nested, host PWC 32', MIB_64, { ...X86, ...HOST_PWC }, [1050, 23532, 237562, 950248, 950251, 244981, 2145480]],
  ['64 MiB, nested, both PWC', MIB_64, { ...RISCV, ...PWC, ...HOST_PWC }, [1050, 23532, 237562, 237596, 237599, 244981, 720176]],
  ['64 MiB, nested, NTLB 64 only', MIB_64, { ...X86, ...NTLB }, [1050, 23532, 237562, 950248, 284724, 950248, 2185220]],
  ['64 MiB, nested, all', MIB_64, { ...RISCV, ...ALL }, [1050, 23532, 237562, 237596, 66064, 244981, 548641]],
  ['64 MiB, guest 4K, host 2M, all', MIB_64, { ...X86, ...ALL, hostShift: LARGE }, [1050, 23532, 237562, 237596, 3, 33, 237632]],
  ['64 MiB, guest 2M, host 4K, all', MIB_64, { ...RISCV, ...ALL, guestShift: LARGE }, [1050, 23532, 237562, 237564, 6, 237595, 475165]],
  ['64 MiB, guest 2M, host 2M, all', MIB_64, { ...X86, ...ALL, guestShift: LARGE, hostShift: LARGE }, [262112, 0, 32, 34, 3, 33, 70]],
];
