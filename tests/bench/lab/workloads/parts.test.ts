import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exp, ln } from '../../../../bench/lab/workloads/exact-math.ts';
import { KroneckerGraph } from '../../../../bench/lab/workloads/graph.ts';
import { Permutation } from '../../../../bench/lab/workloads/permutation.ts';
import { Random } from '../../../../bench/lab/workloads/random.ts';
import { Zipf } from '../../../../bench/lab/workloads/zipf.ts';

describe('random numbers', () => {
  test('are those of the 64-bit generator, for any seed', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (seed) => {
        const random = new Random(seed);
        let x = BigInt(seed);
        for (let i = 0; i < 10; i++) {
          x = (x * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
          expect(random.next()).toBe(Number(x >> 33n));
          expect(random.spare).toBe(Number((x >> 24n) & 511n));
        }
      }),
    );
  });
  test('below n stays below n, also where n has more bits than one number', () => {
    fc.assert(
      fc.property(
        fc.nat(0xffff_ffff),
        fc.maxSafeNat().filter((n) => n > 0),
        (seed, n) => {
          const random = new Random(seed);
          for (let i = 0; i < 20; i++) {
            const value = random.below(n);
            expect(Number.isInteger(value) && value >= 0 && value < n).toBe(true);
          }
        },
      ),
    );
  });
  test('below a large n reaches both of its ends', () => {
    const random = new Random(3);
    const n = 2 ** 40;
    const values = Array.from({ length: 4000 }, () => random.below(n) / n);
    expect(Math.min(...values)).toBeLessThan(0.002);
    expect(Math.max(...values)).toBeGreaterThan(0.998);
  });
});

describe('exact mathematics', () => {
  test('ln agrees with the library to the last digits', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => {
        expect(Math.abs(ln(x) - Math.log(x))).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(Math.log(x))));
      }),
    );
  });
  test('exp agrees with the library to the last digits', () => {
    fc.assert(
      fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (x) => {
        expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThan(2e-15);
      }),
    );
  });
});

test('a permutation visits every number below n once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(0xffff_ffff), (n, seed) => {
      const order = new Permutation(n, seed);
      expect(new Set(Array.from({ length: n }, (_, i) => order.at(i))).size).toBe(n);
      expect(Array.from({ length: n }, (_, i) => order.at(i)).every((at) => at < n)).toBe(true);
    }),
    { numRuns: 20 },
  );
});

describe('zipf', () => {
  test.each([
    [10, 0.5],
    [100, 0.99],
    [1000, 1],
    [50, 1.5],
    [1, 0.99],
  ])('%i ranks with exponent %d come as often as they should', (n, exponent) => {
    const zipf = new Zipf(new Random(7), n, exponent);
    const draws = 30_000;
    const counts = new Float64Array(n + 1);
    for (let i = 0; i < draws; i++) counts[zipf.next()]++;
    let total = 0;
    for (let k = 1; k <= n; k++) total += k ** -exponent;
    for (let k = 1; k <= Math.min(n, 20); k++) {
      const expected = (draws * k ** -exponent) / total;
      expect(Math.abs(counts[k] - expected)).toBeLessThan(5 * Math.sqrt(expected) + 1); // five standard deviations
    }
    expect(counts[0]).toBe(0);
  });
  test('ranks stay within 1..n for a large n', () => {
    const n = 2 ** 33;
    const zipf = new Zipf(new Random(1), n, 0.99);
    const ranks = Array.from({ length: 5000 }, () => zipf.next());
    expect(ranks.every((rank) => Number.isInteger(rank) && rank >= 1 && rank <= n)).toBe(true);
    expect(Math.max(...ranks)).toBeGreaterThan(2 ** 30);
  });
});

describe('the graph', () => {
  const graph = new KroneckerGraph(12, 16, 5);
  test('rows begin where the rows before them end', () => {
    let edges = 0;
    const starts = [];
    for (let vertex = 0; vertex < graph.vertices; vertex++) {
      starts.push(edges);
      edges += graph.degree(vertex);
    }
    expect(starts.map((_, vertex) => graph.firstEdge(vertex))).toEqual(starts);
    expect(graph.edges).toBe(edges);
  });
  test('a few vertices have most of the edges, and most of the edges lead to them', () => {
    const isHub = (vertex: number): boolean => vertex.toString(2).split('1').length - 1 <= 3; // 299 of 4096
    const vertices = Array.from({ length: graph.vertices }, (_, vertex) => vertex);
    const from = vertices.filter(isHub).reduce((sum, vertex) => sum + graph.degree(vertex), 0);
    const targets = vertices.map((vertex) => graph.target(vertex, 0));
    expect(vertices.filter(isHub)).toHaveLength(299);
    expect(from / graph.edges).toBeGreaterThan(0.6); // 0.68 by the binomial distribution
    expect(targets.filter(isHub).length / graph.vertices).toBeGreaterThan(0.6);
    expect(Math.max(...targets)).toBeLessThan(graph.vertices);
  });
  test('an edge has the same target each time', () => {
    const again = new KroneckerGraph(12, 16, 5);
    for (let i = 0; i < 100; i++) expect(graph.target(i * 40, i % 7)).toBe(again.target(i * 40, i % 7));
  });
});
