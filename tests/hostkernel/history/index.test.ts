/**
 * The defects that DragonFly's virtual kernels had, in the order of its history, and where each is tested. This file
 * looks only whether the tests are still there, under these names.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const DEFECTS: readonly (readonly [defect: string, file: string, names: readonly string[]])[] = [
  ['a write after a read does not set M (Jan 2007)', 'vm', ['a write after a read marks the page modified']],
  [
    'a guest page is freed while the host still maps it (Jan 2007)',
    'vm',
    ['a frame is not freed while the real PTEs of other spaces map it'],
  ],
  [
    'an A or M update races a guest that swaps the entry (Jan 2017)',
    'vm',
    [
      'marks go into the entry as it is in memory, also where data and table are one page',
      'an entry that the guest changes while a fault on it waits is marked as it is then, not as it was',
    ],
  ],
  [
    'INVAL races a fault between walk and enter (Feb 2017)',
    'vm',
    ['after an invalidation no translation read before it is used', 'an invalidation while a fault waits between walk and real PTE'],
  ],
  [
    'M is cleared without INVAL, and a later write is lost (Jan 2017)',
    'pageout',
    ['M is cleared without INVAL, and a later write is lost, under heavy paging only'],
  ],
  [
    'a different frame entered inherits M (Jan 2017)',
    'vm',
    ['another frame entered at an address does not inherit that the old one was modified'],
  ],
  [
    'a space is used again with stale real PTEs (Jan 2017)',
    'vm',
    ['a space made after another was destroyed starts without its translations'],
  ],
  [
    'iteration of a reverse list is not restarted (Jan 2017)',
    '../pmap/regressions',
    ['iterating over the places of a page while they go (January 2017'],
  ],
  ['destroy against use, freed twice (Jan 2017)', 'kern', ['9: destroy against use']],
  [
    'a processor misses a shoot-down between two threads of a space (Jan 2017)',
    'kern',
    ['10: a translation dropped by one lwp is dropped on every one'],
  ],
  ['page counts above 32 bits in an invalidation (Jan 2017)', 'vm', ['invalidating more pages than fit 32 bits reaches all of them']],
  ['NOSYNC is not applied to pages around a fault (2010)', 'vm', ['memory that is not to be synchronised is written to no device']],
  ['a guest that never traps cannot be interrupted (2011)', 'kern', ['13: a guest that never traps is interrupted by its vkernel']],
  ['a copy out to a stack does not grow it (Jan 2017)', 'vm', ['a copy out to a stack grows it']],
  ['floating-point state is lost across RUN (Jan 2017)', 'kern', ['15: floating-point registers are there after another hart']],
  ['write faults wait for each other on the object of all RAM (Jan 2017)', 'vm', ['two faults on one object do not wait for each other']],
  ['a vkernel is killed inside a RUN (2008)', 'kern', ['17: kill -9 of a vkernel inside a RUN']],
  ['much work with too little RAM corrupts memory', 'pageout', ['too little RAM, no corruption']],
];

test.each(DEFECTS.map((defect, i) => [i + 1, ...defect] as const))('%i: %s', (_, __, file, names) => {
  const text = readFileSync(new URL(`${file}.test.ts`, import.meta.url), 'utf8');
  for (const name of names) {
    const place = text.indexOf(name);
    expect(place, name).toBeGreaterThan(-1);
    expect(text.slice(text.lastIndexOf('\n', place) + 1, place), name).toMatch(/^(test|describe)(\.each\(\[[^\]]*\]\))?\(['`]$/);
  }
});

test('all eighteen are listed', () => expect(DEFECTS.length).toBe(18));
