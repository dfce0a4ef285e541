/** The policies as functions: what they promise for any claims, and the cases a person would check by hand. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Claim, type MemoryPolicy, withQuotas } from '../../../vkernel/policy/division.ts';
import { fixedPolicy } from '../../../vkernel/policy/fixed.ts';
import { WEIGHT_POLICY } from '../../../vkernel/policy/weight.ts';

const claim = (wanted: number, more: Partial<Claim> = {}): Claim => ({ wanted, inForce: 0, user: 0, priority: 0, weight: 1, ...more });
const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

const anyClaim: fc.Arbitrary<Claim> = fc.record({
  wanted: fc.nat(120),
  inForce: fc.nat(40),
  user: fc.nat(3),
  priority: fc.nat(2),
  weight: fc.integer({ min: 1, max: 9 }),
});
const anyClaims = fc.array(anyClaim, { maxLength: 8 });
const anyPages = fc.nat(300);
const anyQuotas = fc
  .dictionary(fc.constantFrom('0', '1', '2'), fc.nat(150))
  .map((quotas) => new Map(Object.entries(quotas).map(([user, pages]) => [Number(user), pages])));

describe.each([
  ['fixed', fixedPolicy()],
  ['fixed, a quarter each at most', fixedPolicy(0.25)],
  ['weight', WEIGHT_POLICY],
] as const)('%s', (_name, policy: MemoryPolicy) => {
  test('gives whole pages, nobody more than he wants, and together no more than there are', () => {
    fc.assert(
      fc.property(anyClaims, anyPages, anyQuotas, (claims, pages, quotas) => {
        for (const each of [policy, withQuotas(policy, quotas)]) {
          const shares = each.divide(claims, pages);
          expect(shares.length).toBe(claims.length);
          shares.forEach((share, i) => {
            expect(Number.isInteger(share) && share >= 0 && share <= (claims[i] as Claim).wanted).toBe(true);
          });
          expect(sum(shares)).toBeLessThanOrEqual(pages);
        }
      }),
    );
  });

  test('keeps every user inside his quota, and changes nothing where nobody exceeds', () => {
    fc.assert(
      fc.property(anyClaims, anyPages, anyQuotas, (claims, pages, quotas) => {
        const of = (shares: readonly number[], user: number): number => sum(shares.filter((_, i) => claims[i]?.user === user));
        const limited = withQuotas(policy, quotas).divide(claims, pages);
        const free = policy.divide(claims, pages);
        for (const [user, quota] of quotas) expect(of(limited, user)).toBeLessThanOrEqual(quota);
        if ([...quotas].every(([user, quota]) => of(free, user) <= quota)) expect(limited).toEqual(free);
      }),
    );
  });
});

describe('fixed', () => {
  test('U-09 1000, 1000 and 1000 of 2993 frames: the third is refused, over by 7', () => {
    const claims = [claim(1000, { inForce: 1000 }), claim(1000, { inForce: 1000 }), claim(1000)];
    expect(fixedPolicy().divide(claims, 2993)).toEqual([1000, 1000, 0]);
    expect(fixedPolicy().divide(claims, 3000)).toEqual([1000, 1000, 1000]);
  });

  test('who is there loses nothing to who comes later', () => {
    fc.assert(
      fc.property(anyClaims, anyClaim, anyPages, (claims, newcomer, more) => {
        const pages = sum(claims.map(({ inForce }) => inForce)) + more;
        const shares = fixedPolicy().divide([...claims, { ...newcomer, inForce: 0 }], pages);
        claims.forEach(({ wanted, inForce }, i) => expect(shares[i]).toBeGreaterThanOrEqual(Math.min(wanted, inForce)));
      }),
    );
  });

  test('what is given back can be had by another', () => {
    expect(fixedPolicy().divide([claim(20, { inForce: 40 }), claim(25)], 50)).toEqual([20, 25]);
  });

  test('a share is the most one may be guaranteed', () => {
    expect(fixedPolicy(0.25).divide([claim(25), claim(26)], 100)).toEqual([25, 0]);
  });
});

describe('weight', () => {
  test('priority first, then in proportion, and what one does not want goes to the others', () => {
    const claims = [claim(20, { priority: 1 }), claim(80, { weight: 3 }), claim(80, { weight: 1 })];
    expect(WEIGHT_POLICY.divide(claims, 100)).toEqual([20, 60, 20]);
    expect(WEIGHT_POLICY.divide([claim(10), claim(80), claim(80)], 100)).toEqual([10, 45, 45]);
    expect(WEIGHT_POLICY.divide([claim(80), claim(80), claim(80)], 100)).toEqual([34, 33, 33]);
    expect(WEIGHT_POLICY.divide([claim(80, { priority: 2 }), claim(80, { priority: 1 }), claim(80)], 100)).toEqual([80, 20, 0]);
  });

  test('leaves no page over while anybody wants one', () => {
    fc.assert(
      fc.property(anyClaims, anyPages, (claims, pages) => {
        expect(sum(WEIGHT_POLICY.divide(claims, pages))).toBe(Math.min(pages, sum(claims.map(({ wanted }) => wanted))));
      }),
    );
  });

  test('gives a lower priority nothing while a higher one wants more', () => {
    fc.assert(
      fc.property(anyClaims, anyPages, (claims, pages) => {
        const shares = WEIGHT_POLICY.divide(claims, pages);
        claims.forEach((low, i) => {
          if (shares[i] === 0) return;
          claims.forEach((high, k) => {
            if (high.priority > low.priority) expect(shares[k]).toBe(high.wanted);
          });
        });
      }),
    );
  });

  test('peers who both want more differ from their weights by less than a page', () => {
    fc.assert(
      fc.property(anyClaims, anyPages, (claims, pages) => {
        const shares = WEIGHT_POLICY.divide(claims, pages);
        const open = claims.map((each, i) => ({ ...each, share: shares[i] as number })).filter(({ share, wanted }) => share < wanted);
        for (const a of open) {
          for (const b of open) {
            if (a.priority === b.priority)
              expect(Math.abs(a.share / a.weight - b.share / b.weight)).toBeLessThanOrEqual(1 / a.weight + 1 / b.weight);
          }
        }
      }),
    );
  });

  test('a quota takes from its user only: the others share what he may not have', () => {
    const claims = [claim(80, { user: 1 }), claim(80, { user: 1 }), claim(80, { user: 2 })];
    expect(withQuotas(WEIGHT_POLICY, new Map([[1, 30]])).divide(claims, 100)).toEqual([15, 15, 70]);
  });
});
