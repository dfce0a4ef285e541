import { expect, test } from 'vitest';
import { EXEC, READ, WRITE } from '../../../../hostkernel/base/units.ts';
import { ATTR_DIRTY, ATTR_GLOBAL } from '../../../../hostkernel/machine/index.ts';
import {
  type Forgotten,
  forgetPages,
  INVALIDATIONS,
  type InvalidationName,
  NestedTlb,
  Tlb,
  type TlbArrayConfig,
  type TranslationStructures,
  VM_SHIFT,
  WalkCache,
  type WalkCacheConfig,
} from '../../../../hostkernel/machine/timing/index.ts';

const ALL = READ | WRITE | EXEC | ATTR_DIRTY;
const PAGE = 512 * 512 + 512 + 3; // its large page is 512 * 513 ...
const NEIGHBOUR = PAGE + 1; //        in the same leaf table
const FAR = 512 * 512 * 7 + 5; //     shares only the root with it
const GLOBAL_PAGE = PAGE + 2;
const GPA = 4096 + 9; // a page of the guest's memory
const OTHER_GPA = 2 ** 30;
const VM1 = 1 << VM_SHIFT;
const SPACE = VM1 | 1; // the space that events name
const SIBLING = VM1 | 2; // another of its VM
const OTHER_VM = (2 << VM_SHIFT) | 1;

const WALK_CACHE: WalkCacheConfig = {
  kind: 'split-translation',
  every: { entries: 32, ways: 'full', replacement: 'lru' },
  levels: {},
  only: null,
  latency: 1,
  guestHolds: 'gpa',
  holdsLeaves: false,
};

const SV48 = { levels: 4, entryBytes: 8, span: (level: number) => 512 ** level };

/** Everything an event could drop, by what a person would call it. */
const LOOKS = {
  page: ({ tlb }) => tlb.lookup(SPACE, PAGE, READ),
  'page in the first level for instructions': ({ tlb }) => tlb.lookup(SPACE, PAGE, EXEC),
  neighbour: ({ tlb }) => tlb.lookup(SPACE, NEIGHBOUR, READ),
  'far page': ({ tlb }) => tlb.lookup(SPACE, FAR, READ),
  'global page': ({ tlb }) => tlb.lookup(SPACE, GLOBAL_PAGE, READ),
  'page of a sibling space': ({ tlb }) => tlb.lookup(SIBLING, PAGE, READ),
  'page of another VM': ({ tlb }) => tlb.lookup(OTHER_VM, PAGE, READ),
  'pointer to its leaf table': ({ guestCaches }) => guestCaches[0].begin(SPACE, PAGE) === 0,
  'pointer to a far leaf table': ({ guestCaches }) => guestCaches[0].begin(SPACE, FAR) === 0,
  'pointer of a sibling space': ({ guestCaches }) => guestCaches[0].begin(SIBLING, PAGE) === 0,
  'pointer of another VM': ({ guestCaches }) => guestCaches[0].begin(OTHER_VM, PAGE) === 0,
  'host pointer to the page': ({ hosts }) => hosts[0].walkCache?.begin(1, GPA) === 0,
  'host pointer elsewhere': ({ hosts }) => hosts[0].walkCache?.begin(1, OTHER_GPA) === 0,
  'nested entry of the page': ({ hosts }) => hosts[0].nested?.lookup(1, GPA, READ) === true,
  'nested entry elsewhere': ({ hosts }) => hosts[0].nested?.lookup(1, OTHER_GPA, READ) === true,
  'nested entry of another VM': ({ hosts }) => hosts[0].nested?.lookup(2, GPA, READ) === true,
} as const satisfies Readonly<Record<string, (structures: TranslationStructures) => boolean>>;

type Look = keyof typeof LOOKS;

const OWN_LEAVES: readonly Look[] = ['page', 'page in the first level for instructions'];
const OWN_POINTERS: readonly Look[] = ['pointer to its leaf table', 'pointer to a far leaf table'];
const OWN: readonly Look[] = [...OWN_LEAVES, 'neighbour', 'far page'];
const VM: readonly Look[] = [...OWN, ...OWN_POINTERS, 'global page', 'page of a sibling space', 'pointer of a sibling space'];
const HOST_PAGE: readonly Look[] = ['host pointer to the page', 'nested entry of the page'];

function filled(): TranslationStructures {
  const array = (sizes: readonly number[]): TlbArrayConfig => ({
    sizes,
    entries: 32,
    ways: 4,
    replacement: 'lru',
    splits: true,
    latency: 1,
    directories: false,
  });
  const tlb = new Tlb(
    { l1d: [array([12]), array([21])], l1i: [array([12, 21])], l2: [array([12, 21])], l2i: null },
    { baseShift: 12, seed: 1 },
  );
  const guest = new WalkCache('pwc', WALK_CACHE, { format: SV48, directories: null, seed: 1 });
  const host = new WalkCache('host.pwc', WALK_CACHE, { format: SV48, directories: null, seed: 1 });
  const nested = new NestedTlb('host.ntlb', { entries: 32, ways: 'full', replacement: 'lru', holds: 'all', latency: 1 }, 1);
  for (const space of [SPACE, SIBLING, OTHER_VM]) {
    for (const page of [PAGE, NEIGHBOUR, FAR]) {
      for (const kind of [READ, EXEC]) tlb.fill(space, page, kind, page, 12, ALL);
      for (const level of [3, 2, 1]) guest.insert(space, page, level, 0, 4096 * level, -1, 0);
    }
  }
  tlb.fill(SPACE, GLOBAL_PAGE, READ, GLOBAL_PAGE, 12, ALL | ATTR_GLOBAL);
  for (const vm of [1, 2]) {
    for (const page of [GPA, OTHER_GPA]) {
      for (const level of [3, 2, 1]) host.insert(vm, page, level, 0, 4096 * level, -1, 0);
      nested.fill(vm, page, page, 12, ALL);
    }
  }
  return { tlb, guestCaches: [guest], hosts: [{ walkCache: host, nested }] };
}

/** What is gone. */
function missing(structures: TranslationStructures): Look[] {
  return (Object.keys(LOOKS) as Look[]).filter((look) => !LOOKS[look](structures));
}

const A_PAGE: Forgotten = { space: SPACE, page: PAGE, pages: 1, dimension: 0 };
const A_HOST_PAGE: Forgotten = { space: SPACE, page: GPA, pages: 1, dimension: 1 };

const EVENTS: Readonly<Record<InvalidationName, readonly [Forgotten, readonly Look[]]>> = {
  'x86 INVLPG': [A_PAGE, [...OWN_LEAVES, ...OWN_POINTERS]],
  'x86 CR3 write without ids': [
    A_PAGE,
    [...OWN, ...OWN_POINTERS, 'page of a sibling space', 'page of another VM', 'pointer of a sibling space', 'pointer of another VM'],
  ],
  'x86 CR3 write with ids': [A_PAGE, []],
  'x86 CR4.PGE write': [A_PAGE, [...VM, 'page of another VM', 'pointer of another VM']],
  'riscv SFENCE.VMA va, asid': [A_PAGE, OWN_LEAVES],
  'riscv SFENCE.VMA va, 0': [A_PAGE, [...OWN_LEAVES, 'page of a sibling space']],
  'riscv SFENCE.VMA 0, asid': [A_PAGE, [...OWN, ...OWN_POINTERS]],
  'riscv SFENCE.VMA 0, 0': [A_PAGE, VM],
  'riscv HFENCE.VVMA va, asid': [A_PAGE, OWN_LEAVES],
  'riscv HFENCE.VVMA 0, 0': [A_PAGE, VM],
  'riscv HFENCE.GVMA gpa, vmid': [A_HOST_PAGE, [...VM, ...HOST_PAGE]],
  'arm TLBI VAE1': [A_PAGE, [...OWN_LEAVES, 'pointer to its leaf table']],
  'arm TLBI VALE1': [A_PAGE, OWN_LEAVES],
  'arm TLBI ASIDE1': [A_PAGE, [...OWN, ...OWN_POINTERS]],
  'arm TLBI VMALLE1': [A_PAGE, VM],
  'arm TLBI IPAS2E1': [A_HOST_PAGE, HOST_PAGE],
  'vpagetable invalidate': [{ ...A_PAGE, page: PAGE, pages: 2 }, [...OWN_LEAVES, 'neighbour', 'pointer to its leaf table']],
  'host unmap': [A_HOST_PAGE, [...VM, ...HOST_PAGE]],
};

test('nothing is missing before any event', () => {
  expect(missing(filled())).toEqual([]);
});

for (const [name, [what, gone]] of Object.entries(EVENTS) as [InvalidationName, readonly [Forgotten, readonly Look[]]][]) {
  test(`${name} drops ${INVALIDATIONS[name].drops}`, () => {
    const structures = filled();
    const dropped = (INVALIDATIONS[name].apply as (structures: TranslationStructures, what: Forgotten) => number)(structures, what);
    expect(missing(structures).sort()).toEqual([...gone].sort());
    expect(dropped > 0).toBe(gone.length > 0);
  });
}

test('INVLPG and TLBI VAE1 of a global page drop it; SFENCE.VMA with an asid does not, without one it does', () => {
  const isLeft = (name: InvalidationName): boolean => {
    const structures = filled();
    (INVALIDATIONS[name].apply as (structures: TranslationStructures, what: Forgotten) => number)(structures, {
      ...A_PAGE,
      page: GLOBAL_PAGE,
    });
    return LOOKS['global page'](structures);
  };
  const names = ['x86 INVLPG', 'arm TLBI VAE1', 'riscv SFENCE.VMA va, asid', 'riscv SFENCE.VMA va, 0'] as const;
  expect(names.map(isLeft)).toEqual([false, false, true, false]);
});

test('a page inside a large page takes the whole entry with it', () => {
  const structures = filled();
  structures.tlb.fill(SPACE, FAR, READ, FAR, 21, ALL);
  INVALIDATIONS['arm TLBI VALE1'].apply(structures, { ...A_PAGE, page: FAR + 1 });
  expect(structures.tlb.lookup(SPACE, FAR + 2, READ)).toBe(false);
});

test('IPAS2E1 alone leaves stale combined entries; followed by VMALLE1 it does what a host unmap does', () => {
  const structures = filled();
  INVALIDATIONS['arm TLBI IPAS2E1'].apply(structures, A_HOST_PAGE);
  expect(LOOKS.page(structures)).toBe(true);
  INVALIDATIONS['arm TLBI VMALLE1'].apply(structures, A_HOST_PAGE);
  expect(missing(structures).sort()).toEqual([...EVENTS['host unmap'][1]].sort());
});

test('what a host of a host unmaps, all dimensions above forget', () => {
  const [upper] = filled().hosts;
  const structures = { ...filled(), hosts: [upper, filled().hosts[0]] };
  INVALIDATIONS['host unmap'].apply(structures, { ...A_HOST_PAGE, dimension: 2 });
  const lower = { ...structures, hosts: [structures.hosts[1]] };
  expect(LOOKS['nested entry elsewhere'](structures)).toBe(false);
  expect([LOOKS['nested entry of the page'](lower), LOOKS['nested entry elsewhere'](lower)]).toEqual([false, true]);
});

test('a kernel that changed a leaf, or tables too, drops pointers as its architecture says', () => {
  const pointersLeft = (architecture: 'x86' | 'riscv' | 'arm', tablesToo: boolean): boolean[] => {
    const structures = filled();
    forgetPages(structures, architecture, A_PAGE, tablesToo);
    expect(LOOKS.page(structures)).toBe(false);
    return [LOOKS['pointer to its leaf table'](structures), LOOKS['pointer to a far leaf table'](structures)];
  };
  expect([pointersLeft('x86', false), pointersLeft('x86', true)]).toEqual([
    [false, false],
    [false, false],
  ]);
  expect([pointersLeft('riscv', false), pointersLeft('riscv', true)]).toEqual([
    [true, true],
    [false, false],
  ]);
  expect([pointersLeft('arm', false), pointersLeft('arm', true)]).toEqual([
    [true, true],
    [false, true],
  ]);
});
