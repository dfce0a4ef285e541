/** `vkernel layouts vectors` and `layouts test`: vectors made from a description, and a description judged by vectors. */
import { LayoutError, type LayoutDescriptor, layoutByName } from '../../hostkernel/machine/paging/index.ts';
import { byReference, byReferenceInTwo, CompiledJudge } from './judge.ts';
import { table } from './layout-drawing.ts';
import { namedLayout } from './layout-file.ts';
import type { OutputOptions } from './layouts-command.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';
import { makeVectors } from './vector-maker.ts';
import { differences, readVectors, type StageVector, type Vector, vectorFileText } from './vectors.ts';

const MAX_COUNT = 100_000;
const MAX_SHOWN = 10;

/** Prints a vector file. @param seed, count as on the command line */
export async function vectorsCommand(name: string, options: { readonly seed: string; readonly count?: string }): Promise<number> {
  const layout = await namedLayout(name);
  if (typeof layout === 'string') return complain(layout, EXIT_USAGE);
  const seed = wholeNumber(options.seed, 2 ** 32 - 1);
  if (seed === null) return complain(`--seed: '${options.seed}' is no whole number below 2^32`, EXIT_USAGE);
  const count = options.count === undefined ? undefined : wholeNumber(options.count, MAX_COUNT);
  if (count === null) return complain(`--count: '${options.count}' is no whole number up to ${MAX_COUNT}`, EXIT_USAGE);
  const vectors = makeVectors(layout, seed, count);
  if (vectors.length === 0) return complain(`${layout.id}: no table can be laid out for it`, EXIT_FAILURE);
  print(vectorFileText(layout, `${layout.id}, seed ${seed}: what the reference walk says`, vectors).trimEnd());
  return 0;
}

function wholeNumber(text: string, most: number): number | null {
  return /^\d{1,10}$/.test(text) && Number(text) <= most ? Number(text) : null;
}

/** What one walker made of one vector. */
interface Failure {
  readonly vector: string;
  readonly walker: 'reference' | 'compiled';
  readonly differences: readonly string[];
}

/** Runs vectors with both walkers. @returns 0 if all pass */
export async function testCommand(name: string, options: OutputOptions & { readonly vectors: string }): Promise<number> {
  const layout = await namedLayout(name);
  if (typeof layout === 'string') return complain(layout, EXIT_USAGE);
  const file = readVectors(options.vectors);
  if (typeof file === 'string') return complain(file, EXIT_USAGE);
  const single = file.vectors.filter((vector) => vector.layout === layout.id);
  const two = file.twoStage.filter((vector) => vector.layout === layout.id || vector.layout2 === layout.id);
  if (single.length + two.length === 0) {
    const others = [...new Set(file.vectors.map((vector) => vector.layout))];
    return complain(
      `${options.vectors}: no vectors for ${layout.id}; there are some for ${others.slice(0, 8).join(', ') || 'nothing'}`,
      EXIT_FAILURE,
    );
  }
  const failures: Failure[] = [];
  const judged = { reference: 0, compiled: 0 };
  const note = (vector: Vector | StageVector, walker: 'reference' | 'compiled', got: object | string): void => {
    judged[walker]++;
    const found = typeof got === 'string' ? [got] : differences(vector.expect, got);
    if (found.length > 0) failures.push({ vector: vector.id, walker, differences: found });
  };
  const compiled = new CompiledJudge();
  for (const vector of single) {
    note(vector, 'reference', byReference(layout, vector));
    note(
      vector,
      'compiled',
      compiling(() => compiled.judge(layout, vector)),
    );
  }
  for (const vector of two) {
    const first = vector.layout === layout.id ? layout : layoutByName(vector.layout);
    const second = vector.layout2 === layout.id ? layout : layoutByName(vector.layout2);
    if (first === null || second === null)
      return complain(`${vector.id}: no layout '${first === null ? vector.layout : vector.layout2}'`, EXIT_FAILURE);
    note(vector, 'reference', byReferenceInTwo(first, second, vector));
    note(
      vector,
      'compiled',
      compiling(() => compiled.judgeInTwo(first, second, vector)),
    );
  }
  if (options.json === true) print(JSON.stringify({ layout: layout.id, vectors: single.length, twoStage: two.length, failures }, null, 2));
  else report(layout, judged, [...single, ...two], failures);
  return failures.length > 0 ? EXIT_FAILURE : 0;
}

/** A walk that cannot be compiled is a failure of each vector, told in a line. */
function compiling<T>(judge: () => T): T | string {
  try {
    return judge();
  } catch (error) {
    if (error instanceof LayoutError) return `no compiled walk: ${error.field}: ${error.message}`;
    throw error;
  }
}

function report(
  layout: LayoutDescriptor,
  judged: { reference: number; compiled: number },
  all: readonly (Vector | StageVector)[],
  failures: readonly Failure[],
): void {
  const failed = (walker: Failure['walker']): number => failures.filter((failure) => failure.walker === walker).length;
  const rows = (['reference', 'compiled'] as const).map((walker) => [
    `${walker} walk`,
    `${judged[walker] - failed(walker)} passed`,
    `${failed(walker)} failed`,
  ]);
  print(`${layout.id}: ${all.length} vectors`);
  print(table(rows).replaceAll(/^/gm, '  '));
  for (const failure of failures.slice(0, MAX_SHOWN)) {
    const vector = all.find(({ id }) => id === failure.vector) as Vector;
    print(`  FAIL ${failure.vector} (${failure.walker}): ${vector.mode} ${vector.access} of ${vector.va}`);
    for (const difference of failure.differences) print(`    ${difference}`);
  }
  if (failures.length > MAX_SHOWN) print(`  and ${failures.length - MAX_SHOWN} more`);
}
