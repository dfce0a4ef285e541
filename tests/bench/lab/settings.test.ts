/** Parameters as a person writes them: values, lists, ranges, and where in a job they belong. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { combinations, parseSetting, parseVariation, scalar, withSettings } from '../../../bench/lab/settings.ts';

describe('variations', () => {
  test.each([
    ['a=1,2,3', [1, 2, 3]],
    ['a=64M..1G*4', [2 ** 26, 2 ** 28, 2 ** 30]],
    ['a=64M..1000M*4', [2 ** 26, 2 ** 28]],
    ['a=0..1000+250', [0, 250, 500, 750, 1000]],
    ['a=0..1+0.1', [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]],
    ['a=4K,2M,thp', [4096, 2 ** 21, 'thp']],
    ['a=1,1..3+1', [1, 2, 3]],
    ['a.b.c=true,x', [true, 'x']],
  ])('%s', (text, values) => {
    expect(parseVariation(text)).toEqual({ key: text.split('=')[0], values });
  });

  test.each([
    ['a', "'a' is no KEY=VALUES"],
    ['=1', "'=1' is no KEY=VALUES"],
    ['__proto__=1', 'is no KEY=VALUES'],
    ['a.__proto__.b=1', 'is no KEY=VALUES'],
    ['a=', 'a: an empty value'],
    ['a=1,,2', 'a: an empty value'],
    ['a=1..5', "a: '1..5' is no range"],
    ['a=5..1+1', 'ends before it begins'],
    ['a=1..5+0', 'never ends'],
    ['a=0..5*2', 'never ends'],
    ['a=1..5*1', 'never ends'],
    ['a=x..y+1', 'a range is made of numbers'],
    ['a=0..1e9+1', 'more than 10000 values'],
  ])('%s is refused', (text, reason) => {
    expect(parseVariation(text)).toContain(reason);
  });

  test('whatever is written ends, as values or as a reason', () => {
    const piece = fc.constantFrom('0', '1', '-1', '1e9', '..', '+', '*', ',', 'K', '=', 'a', '.', '0.1');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const read = parseVariation(`a=${pieces.join('')}`);
        expect(typeof read === 'string' ? read.length : read.values.length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });

  test('all combinations, the last key fastest', () => {
    const keys = combinations([
      { key: 'a', values: [1, 2] },
      { key: 'b', values: ['x', 'y'] },
    ]);
    expect(keys.map((settings) => settings.map(({ value }) => value).join(''))).toEqual(['1x', '1y', '2x', '2y']);
  });
});

describe('settings', () => {
  test.each([
    ['guest=sv48', { guest: { layout: 'sv48' } }],
    ['guest-pages=2M', { guest: { layout: 'sv39', pageSizes: 2 ** 21 } }],
    ['guest.options.svnapot=1', { guest: { layout: 'sv39', options: { svnapot: 1 } } }],
    ['host.placement=linear', { hosts: [{ layout: 'sv48', placement: 'linear' }, { placement: 'linear' }] }],
    ['footprint=64M', { workload: { name: 'gups', params: { footprint: 2 ** 26 } } }],
    ['workload.writes=0.5', { workload: { name: 'gups', params: { writes: 0.5 } } }],
    ['workload=btree', { workload: { name: 'btree' } }],
    ['machine.tlb.l2.entries=512', { machine: { extends: 'u74', tlb: { l2: { entries: 512 } } } }],
    ['machine=haswell', { machine: { extends: 'haswell' } }],
    ['accesses=5', { accesses: 5 }],
    ['constructor=5', { constructor: 5 }],
  ])('%s', (text, expected) => {
    const draft = { guest: 'sv39', hosts: ['sv48', {}], workload: 'gups', machine: 'u74' };
    const setting = parseSetting(text);
    if (typeof setting === 'string') throw new Error(setting);
    const changed = withSettings(draft, [setting]);
    expect(changed).toMatchObject(expected);
    expect(draft.workload).toBe('gups'); // the draft itself stays
  });

  test('what names a whole comes before what changes a part of it', () => {
    const settings = ['machine.tlb.l2.entries=512', 'machine=haswell'].map((text) => parseSetting(text));
    expect(withSettings({}, settings as never)).toEqual({ machine: { extends: 'haswell', tlb: { l2: { entries: 512 } } } });
  });

  test('numbers, sizes and words', () => {
    expect(['12', '-1.5', '1e3', '64M', 'true', 'thp', '0x10'].map(scalar)).toEqual([12, -1.5, 1000, 2 ** 26, true, 'thp', '0x10']);
  });
});
