/** Machines as published simulations set them up, so that results can be compared with theirs. */
import { ALIKE, assume, from, type Preset, SIZES } from './preset.ts';

const DMT = from('artefact of "Direct Memory Translation", ASPLOS 2024: simulator options and latency constants');
const VIRTUOSO = from('Virtuoso, configuration files');
const VICTIMA = from('Victima, artefact configuration');
const CHAMPSIM = from('ChampSim, default configuration');
const GEM5 = from('gem5, defaults for Arm');

export const SKYLAKE_SP_SIM: Preset = {
  name: 'skylake-sp-sim',
  description: 'Skylake server as simulated for "Direct Memory Translation", ASPLOS 2024',
  tlb: {
    l1d: { sizes: ['4K', '2M', '1G'], entries: 64, ways: 4 },
    l1i: { sizes: ['4K', '2M', '1G'], entries: 128, ways: 8 },
    l2: { sizes: ['4K', '2M'], entries: 1536, ways: 12, lat: 0 },
  },
  pwc: { lat: 1 },
  host: { pwc: { lat: 1 } },
  cache: {
    l1: { size: '32K', ways: 8, lat: 4 },
    l2: { size: '1M', ways: 16, lat: 14 },
    llc: { size: '22M', ways: 11, lat: 54 },
    mem: { lat: 200 },
  },
  sources: {
    'tlb.l1d': DMT,
    'tlb.l1i': DMT,
    'tlb.l2': DMT,
    'tlb.l1d.4K+2M+1G.sizes': SIZES,
    'tlb.l1i.4K+2M+1G.sizes': SIZES,
    'tlb.l2.4K+2M.sizes': SIZES,
    'tlb.l2.4K+2M.lat': assume('no cycles of its own are given'),
    'pwc.lat': DMT,
    'host.pwc.lat': DMT,
    cache: DMT,
  },
};

export const METEOR_LAKE_SIM: Preset = {
  name: 'meteor-lake-sim',
  description: 'Meteor Lake as set up in Virtuoso, ASPLOS 2025',
  tlb: {
    l1d: { '4K': { entries: 64, ways: 4 }, '2M': { entries: 64, ways: 4 }, '1G': 'none' },
    l1i: { sizes: ['4K', '2M'], entries: 64, ways: 4 },
    l2: { sizes: ['4K', '2M'], entries: 2048, ways: 8, lat: 12 },
  },
  pwc: {
    levels: { 1: { entries: 32, ways: 4 }, 2: { entries: 32, ways: 4 }, 3: { entries: 32, ways: 4 }, 4: 'none' },
    lat: 1,
  },
  host: {
    pwc: {
      levels: { 1: { entries: 32, ways: 4 }, 2: { entries: 32, ways: 4 }, 3: { entries: 32, ways: 4 }, 4: { entries: 32, ways: 4 } },
      lat: 1,
    },
  },
  cache: { l1: { size: '48K', ways: 12, lat: 4 }, l2: { size: '2M', ways: 16, lat: 12 }, llc: { size: '8M', ways: 16 } },
  walkers: 4,
  sources: {
    'tlb.l1d': VIRTUOSO,
    'tlb.l1i': VIRTUOSO,
    'tlb.l1i.4K+2M.sizes': SIZES,
    'tlb.l2': VIRTUOSO,
    'tlb.l2.4K+2M.sizes': SIZES,
    'pwc.levels': VIRTUOSO,
    'pwc.lat': VIRTUOSO,
    'host.pwc.levels': VIRTUOSO,
    'host.pwc.lat': assume('as the walk cache of the guest'),
    cache: VIRTUOSO,
    walkers: VIRTUOSO,
  },
  notes: ['of the four arrays of the host walk cache, tables of four levels use three'],
};

export const VICTIMA_VIRT_SIM: Preset = {
  name: 'victima-virt-sim',
  description: 'the virtualised machine of Victima, MICRO 2023',
  tlb: {
    l1d: { sizes: ['4K', '2M'], entries: 64, ways: 4 },
    l1i: { sizes: ['4K', '2M'], entries: 128, ways: 8 },
    l2: { sizes: ['4K', '2M'], entries: 1536, ways: 12, lat: 12 },
  },
  pwc: { levels: { 1: { entries: 32, ways: 4 }, 2: { entries: 16, ways: 4 }, 3: { entries: 16, ways: 4 }, 4: 'none' }, lat: 4 },
  host: {
    pwc: { levels: { 1: { entries: 32, ways: 4 }, 2: { entries: 16, ways: 4 }, 3: { entries: 16, ways: 4 }, 4: 'none' }, lat: 4 },
    ntlb: { entries: 64, ways: 4, lat: 1 },
  },
  cache: { l2: { size: '2M', ways: 16, lat: 16 } },
  sources: {
    'tlb.l1d': VICTIMA,
    'tlb.l1i': VICTIMA,
    'tlb.l2': VICTIMA,
    'tlb.l1d.4K+2M.sizes': SIZES,
    'tlb.l1i.4K+2M.sizes': SIZES,
    'tlb.l2.4K+2M.sizes': SIZES,
    'pwc.levels': VICTIMA,
    'pwc.lat': VICTIMA,
    'host.pwc': assume('as the walk cache of the guest'),
    'host.ntlb': VICTIMA,
    'cache.l2': VICTIMA,
    'cache.l2.ways': ALIKE,
  },
  notes: ['the source lists its walk caches as 16, 16 and 32 entries: the largest is taken to be the one nearest to the leaf'],
};

export const CHAMPSIM_DEFAULT: Preset = {
  name: 'champsim-default',
  description: 'ChampSim as it comes: one page size, five levels of tables',
  tlb: {
    l1d: { sizes: ['4K'], sets: 16, ways: 4 },
    l1i: { sizes: ['4K'], sets: 16, ways: 4 },
    l2: { sizes: ['4K'], sets: 128, ways: 12, splits: true, lat: 8 },
  },
  pwc: { levels: { 1: { sets: 4, ways: 8 }, 2: { sets: 2, ways: 4 }, 3: { sets: 1, ways: 4 }, 4: { sets: 1, ways: 2 } } },
  host: { pwc: 'none', ntlb: 'none' },
  cache: { l1: { size: '48K', ways: 12, lat: 5 }, l2: { size: '512K', ways: 8, lat: 10 }, llc: { size: '2M', ways: 16, lat: 20 } },
  sources: {
    'tlb.l1d': CHAMPSIM,
    'tlb.l1i': CHAMPSIM,
    'tlb.l2': CHAMPSIM,
    'tlb.l1d.4K.sizes': SIZES,
    'tlb.l1i.4K.sizes': SIZES,
    'tlb.l2.4K.sizes': SIZES,
    'tlb.l2.4K.splits': assume('larger pages are held in parts'),
    'pwc.levels': CHAMPSIM,
    cache: CHAMPSIM,
    'cache.l1.ways': ALIKE,
    'cache.l2.ways': ALIKE,
    'cache.llc.ways': ALIKE,
  },
  notes: ['ChampSim has no second dimension: there are no walk caches for the host here'],
};

export const ARM_GEM5: Preset = {
  name: 'arm-gem5',
  description: "gem5's Arm processor as it comes",
  architecture: 'arm',
  tlb: {
    l1d: { sizes: ['4K', '64K', '2M', '1G'], entries: 64, ways: 'full' },
    l1i: { sizes: ['4K', '64K', '2M', '1G'], entries: 64, ways: 'full' },
    l2: { sizes: ['4K', '64K', '2M', '1G'], entries: 1280, ways: 5, directories: true, lat: 4 },
  },
  pwc: { kind: 'l2-tlb', only: [1], lat: 4 },
  sources: {
    'tlb.l1d': ALIKE,
    'tlb.l1i': ALIKE,
    'tlb.l2': ALIKE,
    'tlb.l2.4K+64K+2M+1G.entries': GEM5,
    'pwc.kind': assume('partial walks are kept beside the pages'),
    'pwc.lat': ALIKE,
    'pwc.only': GEM5,
  },
  notes: ['the partial walks kept are those of level 2 in the words of the Arm manual: pointers to leaf tables'],
};
