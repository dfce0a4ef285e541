/**
 * The startup area of a boot task: what its starter tells it, and how it takes it over.
 *
 *   0x8000   startup code (none: our servers are TypeScript), free space      32 KiB, one fpage
 *    ...     stack
 *   0xff00   startup data: one machine word a field, in the order of FIELDS
 *   0x10000  KIP area, then UTCB area
 *
 * The starter writes the page and serves exactly one page fault by mapping all of it; the task then drops that mapping
 * and has the same memory mapped by physmem, so that no mapping of the starter stays.
 * Source: hurd-l4 wortel/startup.h and the startup protocol of its boot tasks; memory control is a field of its own.
 */
import { kassert } from '../../hostkernel/base/assert.ts';
import { fpage, type Fpage, KIP_SHIFT, type L4, type L4Wait, RIGHTS_ALL, type ThreadId, UTCB_SHIFT } from '../l4/user.ts';
import { callText, invoke } from './rpc.ts';
import { MAP_RIGHTS, PHYSMEM } from '../physmem/interface.ts';

export const STARTUP_BASE = 0x8000;
export const STARTUP_SHIFT = 15;
export const STARTUP_BYTES = 1 << STARTUP_SHIFT;
export const STARTUP_PAGE: Fpage = fpage(STARTUP_BASE, STARTUP_SHIFT, RIGHTS_ALL);
export const STARTUP_DATA = STARTUP_BASE + STARTUP_BYTES - 0x100; // bytes; where the record lies
export const STARTUP_VERSION = 0; // major 0, minor 0
export const STARTUP_BOOTSTRAP = 2; // flags: the fields of a bootstrap task are valid

export const KIP_AREA: Fpage = fpage(0x10000, KIP_SHIFT, 0);
export const UTCB_BASE = 0x11000;
export const UTCB_AREA: Fpage = fpage(UTCB_BASE, 12, 0);

/** Address of UTCB slot `slot` of a task: 0 server thread, 1 pager, 2 main, 3.. pool. */
export function utcbSlot(slot: number): number {
  kassert(slot >= 0 && slot << UTCB_SHIFT < 4096, 'startup: no such UTCB slot');
  return UTCB_BASE + (slot << UTCB_SHIFT);
}

/** Threads and handles a task starts with; 0 where it has none. */
export interface StartupData {
  readonly version: number;
  readonly flags: number;
  readonly wortel: ThreadId;
  readonly wortelCapability: number; // capability id in wortel's table
  readonly taskServer: ThreadId;
  readonly taskControl: number; // own task, at the task server
  readonly physmem: ThreadId;
  readonly startupContainer: number;
  readonly memoryControl: number;
  readonly masterControl: number; // physmem's root control: bootstrap tasks only
  readonly taskMaster: number;
  readonly pager: ThreadId; // a further thread of the task, active and without program: to be its pager
  readonly policyServer: ThreadId; // NIL: nobody divides the memory
}

const FIELDS: readonly (keyof StartupData)[] = [
  'version',
  'flags',
  'wortel',
  'wortelCapability',
  'taskServer',
  'taskControl',
  'physmem',
  'startupContainer',
  'memoryControl',
  'masterControl',
  'taskMaster',
  'pager',
  'policyServer',
];

/** The record as bytes of `wordBits` words, to be written at STARTUP_DATA. */
export function encodeStartup(data: StartupData, wordBits: 32 | 64): Uint8Array {
  const bytes = new Uint8Array((FIELDS.length * wordBits) / 8);
  const view = new DataView(bytes.buffer);
  FIELDS.forEach((field, i) => {
    view.setUint32((i * wordBits) / 8, data[field] % 2 ** 32, true);
    if (wordBits === 64) view.setUint32(i * 8 + 4, Math.floor(data[field] / 2 ** 32), true);
  });
  return bytes;
}

function decodeStartup(bytes: Uint8Array, wordBits: 32 | 64): StartupData {
  const view = new DataView(bytes.buffer);
  const entries = FIELDS.map((field, i) => {
    const low = view.getUint32((i * wordBits) / 8, true);
    return [field, wordBits === 64 ? view.getUint32(i * 8 + 4, true) * 2 ** 32 + low : low];
  });
  return Object.fromEntries(entries) as unknown as StartupData; // one entry a field
}

/**
 * The startup code of a boot task: reads its startup data, then has the startup container mapped in place of the starter's mapping.
 * @returns the data, or one line that says what failed
 * Waits: for the starter's page, and for physmem.
 */
export function* startup(l4: L4): Generator<L4Wait, StartupData | string> {
  const bytes = new Uint8Array((FIELDS.length * l4.wordBits) / 8);
  if ((yield* l4.read(STARTUP_DATA, bytes)) !== 0) return 'startup page not mapped';
  const data = decodeStartup(bytes, l4.wordBits);
  if (data.version !== STARTUP_VERSION) return `startup data of version ${data.version}`;
  if (data.startupContainer !== 0) {
    l4.unmap(STARTUP_PAGE, true); // the same frames again would only add to the starter's mapping
    const label = yield* invoke(l4, data.physmem, PHYSMEM.map, data.startupContainer, MAP_RIGHTS, STARTUP_BASE, 0, STARTUP_BYTES);
    if (label !== 0) return callText(PHYSMEM.map, label);
  }
  return data;
}
