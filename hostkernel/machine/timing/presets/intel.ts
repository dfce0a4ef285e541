/** Processors of Intel. */
import { ALIKE, assume, from, FULL, type Preset, SIZES } from './preset.ts';

const SEVEN_CPU_WESTMERE = from('7-cpu.com, Intel Westmere');
const MYNAVI = from('Mynavi, measurements of Haswell');
const INTEL_TABLE = from("Intel's optimisation manual, table of Skylake client, as quoted on 51cto");
const WIKICHIP_SKYLAKE = from('WikiChip, Skylake client');

export const WESTMERE: Preset = {
  name: 'westmere',
  description: 'Intel Westmere, 2010',
  tlb: {
    l1d: { '4K': { entries: 64, ways: 4 }, '2M': { entries: 32, ways: 4 }, '1G': 'none' },
    l2: { sizes: ['4K'], entries: 512, ways: 4, splits: false, lat: 7 },
  },
  cache: {
    l1: { size: '32K', ways: 8, lat: 4 },
    l2: { size: '256K', ways: 8, lat: 10 },
    llc: { size: '12M', ways: 16, lat: 43 },
    mem: { lat: 241 },
  },
  sources: {
    tlb: ALIKE,
    cache: ALIKE,
    'cache.l1.lat': SEVEN_CPU_WESTMERE,
    'cache.l2.lat': SEVEN_CPU_WESTMERE,
    'cache.llc.lat': assume('the middle of the 40 to 46 cycles that 7-cpu.com gives'),
    'cache.mem.lat': assume('40 cycles and 67 ns (7-cpu.com), at 3 GHz'),
  },
  notes: ['measured on the real processor, to compare with: a TLB miss costs 23 cycles with 1G pages (7-cpu.com)'],
};

export const HASWELL: Preset = {
  name: 'haswell',
  description: 'Intel Haswell, 2013',
  tlb: {
    l1d: { '4K': { entries: 64, ways: 4 }, '2M': { entries: 32, ways: 4 }, '1G': { entries: 4, ways: 'full' } },
    l2: { sizes: ['4K', '2M'], entries: 1024, ways: 8, lat: 12 },
  },
  cache: { l1: { size: '32K', ways: 8, lat: 4 }, l2: { size: '256K', ways: 8, lat: 12 }, llc: { size: '8M', ways: 16, lat: 36 } },
  sources: {
    'tlb.l1d': MYNAVI,
    'tlb.l1d.2M.ways': ALIKE,
    'tlb.l1d.1G.ways': FULL,
    'tlb.l2': assume('commonly quoted: 1024 entries, 8 ways; not seen in a source'),
    'tlb.l2.4K+2M.sizes': SIZES,
    'tlb.l2.4K+2M.lat': MYNAVI,
    cache: ALIKE,
  },
  notes: [
    'measured on the real processor, to compare with: a miss in the second-level TLB costs about 20 cycles with the table in the cache (Mynavi)',
  ],
};

export const SKYLAKE: Preset = {
  name: 'skylake',
  description: 'Intel Skylake, client, 2015',
  tlb: {
    l1d: { '4K': { entries: 64, ways: 4 } },
    l1i: { '4K': { entries: 128, ways: 8 } },
    l2: { sizes: ['4K', '2M'], entries: 1536, ways: 12 },
  },
  cache: { l1: { size: '32K', ways: 8, lat: 4 }, l2: { size: '256K', ways: 4, lat: 12 }, llc: { size: '2M', ways: 16, lat: 44 } },
  walkers: 2,
  sources: {
    'tlb.l1d.4K': WIKICHIP_SKYLAKE,
    'tlb.l1i.4K': INTEL_TABLE,
    'tlb.l1d.4K.sizes': SIZES,
    'tlb.l1i.4K.sizes': SIZES,
    'tlb.l2': WIKICHIP_SKYLAKE,
    'tlb.l2.4K+2M.sizes': SIZES,
    cache: INTEL_TABLE,
    'cache.llc.ways': ALIKE,
    walkers: INTEL_TABLE,
  },
  notes: ['the last-level cache is the share of one core'],
};
