/** Processors of AMD. */
import { ALIKE, ALL_SIZES, assume, from, FULL, type Preset, SIZES } from './preset.ts';

const SEVEN_CPU_JAGUAR = from('7-cpu.com, AMD Jaguar');
const ZEN_SOURCE = from('WikiChip and 7-cpu.com, Zen');

export const BARCELONA: Preset = {
  name: 'barcelona',
  description: 'AMD K10, 2007: the first with nested paging and a two-dimensional walk cache',
  tlb: {
    l1d: { sizes: ALL_SIZES, entries: 48, ways: 'full', lat: 0 },
    l1i: { sizes: ALL_SIZES, entries: 48, ways: 'full', lat: 0 },
    l2: { '4K': { entries: 512, ways: 4, splits: false, lat: 7 }, '2M': { entries: 128, ways: 2, splits: false, lat: 7 } },
  },
  pwc: { kind: 'page-table', every: { entries: 24, ways: 'full' } },
  host: { pwc: { kind: 'page-table', every: { entries: 24, ways: 'full' } }, ntlb: { entries: 16, ways: 'full', holds: 'all' } },
  cache: { l1: { size: '64K', ways: 2, lat: 3 }, l2: { size: '512K', ways: 16, lat: 15 }, llc: { size: '2M', ways: 32, lat: 48 } },
  sources: {
    'tlb.l1d.4K+2M+1G': FULL,
    'tlb.l1d.4K+2M+1G.sizes': from('AnandTech, note on the TLBs of K10'),
    'tlb.l1d.4K+2M+1G.entries': from('AnandTech, note on the TLBs of K10'),
    'tlb.l1d.4K+2M+1G.lat': ALIKE,
    'tlb.l1i': assume('as the data side'),
    'tlb.l2': ALIKE,
    'tlb.l2.4K.sizes': from('AnandTech, note on the TLBs of K10'),
    'tlb.l2.4K.entries': from('AnandTech, note on the TLBs of K10'),
    'tlb.l2.2M.sizes': from('AnandTech, note on the TLBs of K10'),
    'tlb.l2.2M.entries': from('AnandTech, note on the TLBs of K10'),
    pwc: assume('commonly quoted for the design of Bhargava et al., ASPLOS 2008; not seen in a source'),
    'host.pwc': assume('as the walk cache of the guest'),
    'host.ntlb': assume('commonly quoted for the design of Bhargava et al., ASPLOS 2008; not seen in a source'),
    cache: ALIKE,
  },
  notes: ['the walk caches of the two dimensions are two here; the design has one for both'],
};

export const JAGUAR: Preset = {
  name: 'jaguar',
  description: 'AMD Jaguar, 2013: a small core',
  tlb: {
    l1d: { '4K': { entries: 40, ways: 'full' }, '2M': { entries: 8, ways: 'full' }, '1G': 'none' },
    l1i: { '4K': { entries: 32, ways: 'full' }, '2M': { entries: 8, ways: 'full' } },
    l2: { '4K': { entries: 512, ways: 4, lat: 6 }, '2M': { entries: 256, ways: 2, lat: 6 } },
  },
  pwc: { kind: 'translation', every: { entries: 16, ways: 'full' } },
  host: { pwc: { kind: 'translation', every: { entries: 16, ways: 'full' } } },
  cache: { l1: { size: '32K', ways: 8, lat: 3 }, l2: { size: '2M', ways: 16, lat: 25 }, llc: 'none' },
  sources: {
    'tlb.l1d.4K': SEVEN_CPU_JAGUAR,
    'tlb.l1d.2M': SEVEN_CPU_JAGUAR,
    'tlb.l1i': ALIKE,
    'tlb.l2': SEVEN_CPU_JAGUAR,
    pwc: assume('organisation and ways of the directory cache'),
    'pwc.every.entries': SEVEN_CPU_JAGUAR,
    'host.pwc': assume('as the walk cache of the guest'),
    cache: ALIKE,
  },
  notes: ['measured on the real processor, to compare with: a miss in the second-level TLB costs about 26 cycles (7-cpu.com)'],
};

function zen(name: string, description: string, over: { readonly entries: number; readonly ways: number; readonly llc: string }): Preset {
  return {
    name,
    description,
    tlb: {
      l1d: { sizes: ALL_SIZES, entries: 64, ways: 'full' },
      l1i: { sizes: ALL_SIZES, entries: 64, ways: 'full' },
      l2: { sizes: ['4K', '2M'], entries: over.entries, ways: over.ways, splits: true, directories: true, lat: 7 },
      l2i: { sizes: ['4K', '2M'], entries: 512, ways: 8, splits: true, directories: false, lat: 7 },
    },
    pwc: { kind: 'l2-tlb', lat: 7 },
    cache: {
      l1: { size: '32K', ways: 8, lat: 4 },
      l2: { size: '512K', ways: 8, lat: 12 },
      llc: { size: over.llc, ways: 16, lat: 39 },
    },
    walkers: 2,
    sources: {
      'tlb.l1d': ZEN_SOURCE,
      'tlb.l1i': SIZES,
      'tlb.l1i.4K+2M+1G.entries': ZEN_SOURCE,
      'tlb.l1i.4K+2M+1G.ways': ZEN_SOURCE,
      'tlb.l2': ZEN_SOURCE,
      'tlb.l2.4K+2M.lat': ALIKE,
      'tlb.l2i': SIZES,
      'tlb.l2i.4K+2M.entries': ZEN_SOURCE,
      'tlb.l2i.4K+2M.ways': ZEN_SOURCE,
      'pwc.kind': ZEN_SOURCE,
      'pwc.lat': assume('as the TLB it lies in'),
      cache: ALIKE,
      'cache.l1.size': ZEN_SOURCE,
      'cache.l1.ways': ZEN_SOURCE,
      'cache.l2.size': ZEN_SOURCE,
      'cache.l2.ways': ZEN_SOURCE,
      'cache.llc.size': ZEN_SOURCE,
      walkers: assume('several, the source says; two'),
    },
    notes: ['the last-level cache is that of one group of four cores'],
  };
}

export const ZEN = zen('zen', 'AMD Zen, 2017', { entries: 1536, ways: 12, llc: '8M' });

const ZEN2_DRAFT = zen('zen2', 'AMD Zen 2, 2019', { entries: 2048, ways: 16, llc: '16M' });
export const ZEN2: Preset = {
  ...ZEN2_DRAFT,
  sources: {
    ...ZEN2_DRAFT.sources,
    'tlb.l2.4K+2M.ways': assume('16: the 12 of the source do not divide 2048 entries'),
  },
};
