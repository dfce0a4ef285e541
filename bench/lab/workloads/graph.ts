/**
 * A power-law graph that is nowhere stored, and two algorithms on it.
 *
 * The graph is a Kronecker graph as Graph500 makes it (a = 0.57, b = c = 0.19): bit for bit, an edge's source has a zero
 * with probability 0.76, and so has its target. So the degree of a vertex follows from the number of its one bits, where
 * its edges begin from a sum over its bits, and its i-th neighbour from a hash of the pair. In memory it lies in
 * compressed sparse rows: one array of row starts, one of targets. Per-vertex data lies in shuffled order, as Graph500
 * shuffles its vertices.
 * Source: Leskovec et al., Kronecker graphs, JMLR 2010; the Graph500 benchmark specification.
 */
import { READ, WRITE } from '../../../hostkernel/base/units.ts';
import type { Batch } from '../stream.ts';
import { numberOf, type Pattern, type PatternSetup, READ_WRITE, touch } from './pattern.ts';
import { mix, Permutation } from './permutation.ts';

const ZERO_BIT = 0.76; // probability of a zero in each bit of either end of an edge
const ZERO_BYTE = Math.round(ZERO_BIT * 256);

export class KroneckerGraph {
  readonly vertices: number;
  readonly edges: number;
  readonly #scale: number;
  readonly #seed: number;
  readonly #degrees: Float64Array; // by number of one bits
  /** sums[k * (scale + 1) + ones]: edges of all vertices with the same upper bits, `ones` of them set, and k lower bits. */
  readonly #sums: Float64Array;

  /** @param scale log2 of the vertices, 1..30; factor edges a vertex, on average */
  constructor(scale: number, factor: number, seed: number) {
    this.vertices = 2 ** scale;
    this.#scale = scale;
    this.#seed = seed;
    this.#degrees = new Float64Array(scale + 1);
    for (let ones = 0; ones <= scale; ones++) {
      let degree = factor * this.vertices;
      for (let bit = 0; bit < scale; bit++) degree *= bit < ones ? 1 - ZERO_BIT : ZERO_BIT;
      this.#degrees[ones] = Math.max(1, Math.round(degree));
    }
    const row = scale + 1;
    this.#sums = new Float64Array(row * row);
    this.#sums.set(this.#degrees);
    for (let k = 1; k <= scale; k++) {
      for (let ones = 0; ones + k <= scale; ones++) {
        this.#sums[k * row + ones] = this.#sums[(k - 1) * row + ones] + this.#sums[(k - 1) * row + ones + 1];
      }
    }
    this.edges = this.#sums[scale * row];
  }

  degree(vertex: number): number {
    return this.#degrees[onesOf(vertex)];
  }

  /** Index of the vertex's first edge: the edges of all vertices before it. */
  firstEdge(vertex: number): number {
    const row = this.#scale + 1;
    let sum = 0;
    let ones = 0;
    for (let bit = this.#scale - 1; bit >= 0; bit--) {
      if ((vertex & (1 << bit)) === 0) continue;
      sum += this.#sums[bit * row + ones];
      ones++;
    }
    return sum;
  }

  /** Target of edge `i` of `vertex`. */
  target(vertex: number, i: number): number {
    let target = 0;
    let hash = 0;
    const key = mix(Math.imul(vertex, 0x9e3779b9) ^ mix(i + this.#seed));
    for (let bit = 0; bit < this.#scale; bit++) {
      if ((bit & 3) === 0) hash = mix(key + bit);
      target |= (hash & 255) >= ZERO_BYTE ? 1 << bit : 0;
      hash >>>= 8;
    }
    return target;
  }
}

function onesOf(x: number): number {
  let n = x - ((x >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

interface Rows {
  readonly graph: KroneckerGraph;
  readonly order: Permutation; // of per-vertex data
  readonly starts: number; // address of the row starts, 8 bytes a vertex
  readonly targets: number; // of the targets, 4 bytes an edge
}

function rowsOf(setup: PatternSetup): Rows {
  const graph = new KroneckerGraph(numberOf(setup, 'scale'), numberOf(setup, 'factor'), setup.seed);
  return {
    graph,
    order: new Permutation(graph.vertices, setup.seed),
    starts: setup.memory.array((graph.vertices + 1) * 8),
    targets: setup.memory.array(graph.edges * 4),
  };
}

/** Breadth-first search from random roots: the queue, the rows, and the parent of each neighbour. */
export function bfs(setup: PatternSetup): Pattern {
  const { space, random } = setup;
  const { graph, order, starts, targets } = rowsOf(setup);
  const work = numberOf(setup, 'work');
  const parents = setup.memory.array(graph.vertices * 4);
  const queue = setup.memory.array(graph.vertices * 4);
  const seen = new Uint8Array(graph.vertices / 8 + 1);
  const waiting = new Uint32Array(graph.vertices);
  let head = 0;
  let tail = 0;
  let vertex = 0; // whose edges are being followed
  let edge = 0; //   the next of them
  let degree = 0;
  let first = 0; //  index of its first edge

  function visit(next: number): void {
    seen[next >>> 3] |= 1 << (next & 7);
    waiting[tail++] = next;
  }

  function begin(): void {
    seen.fill(0);
    head = 0;
    tail = 0;
    visit(random.below(graph.vertices));
  }

  begin();
  return {
    records: 4,
    step(batch: Batch): void {
      if (edge === degree) {
        if (head === tail) begin();
        touch(batch, space, queue + head * 4, READ, 4, work);
        vertex = waiting[head++];
        touch(batch, space, starts + vertex * 8, READ, 8, work);
        degree = graph.degree(vertex);
        first = graph.firstEdge(vertex);
        edge = 0;
        return;
      }
      touch(batch, space, targets + (first + edge) * 4, READ, 4, work);
      const next = graph.target(vertex, edge++);
      const place = parents + order.at(next) * 4;
      touch(batch, space, place, READ, 4, work);
      if ((seen[next >>> 3] & (1 << (next & 7))) !== 0) return;
      touch(batch, space, place, WRITE, 4, work);
      touch(batch, space, queue + tail * 4, WRITE, 4, work);
      visit(next);
    },
  };
}

/** PageRank by pulling: each vertex sums the ranks of its neighbours, in the order of the rows. */
export function pagerank(setup: PatternSetup): Pattern {
  const { space } = setup;
  const { graph, order, starts, targets } = rowsOf(setup);
  const work = numberOf(setup, 'work');
  const ranks = setup.memory.array(graph.vertices * 8);
  const sums = setup.memory.array(graph.vertices * 8);
  let vertex = 0;
  let edge = -1; // -1: the row is yet to be opened
  let degree = 0;
  let first = 0;
  return {
    records: 3,
    step(batch: Batch): void {
      if (edge < 0) {
        touch(batch, space, starts + vertex * 8, READ, 8, work);
        degree = graph.degree(vertex);
        first = graph.firstEdge(vertex);
        edge = 0;
        return;
      }
      touch(batch, space, targets + (first + edge) * 4, READ, 4, work);
      touch(batch, space, ranks + order.at(graph.target(vertex, edge)) * 8, READ, 8, work);
      if (++edge < degree) return;
      edge = -1;
      touch(batch, space, sums + vertex * 8, READ_WRITE, 8, work);
      vertex = vertex + 1 === graph.vertices ? 0 : vertex + 1;
    },
  };
}
