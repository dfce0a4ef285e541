/** Results as text: one for equal values, read back as they were, refused where they are not results. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type LabResult, readResults, resultSetText, resultText } from '../../../bench/lab/result.ts';
import { sampleResult } from './sample-result.ts';

const A = sampleResult();
const B = sampleResult({ seed: 2 });

function problemsOf(value: unknown): readonly string[] {
  const read = readResults(value);
  return 'results' in read ? [] : read.problems.map(({ path, text }) => `${path}: ${text}`);
}

describe('texts of results', () => {
  test('are read back as they were', () => {
    expect(readResults(JSON.parse(resultText(A)))).toEqual({ results: [A] });
    expect(readResults(JSON.parse(resultSetText([A, B])))).toEqual({ results: [A, B] });
  });

  test('do not depend on the order in which fields or results came', () => {
    const turned = Object.fromEntries(Object.entries(A).reverse()) as unknown as LabResult;
    expect(resultText(turned)).toBe(resultText(A));
    expect(resultSetText([B, turned, A])).toBe(resultSetText([A, B]));
  });

  test('have a line for each result of a set', () => {
    expect(resultSetText([A, B]).split('\n')).toEqual([
      expect.stringContaining('results":['),
      `${resultText(A)},`,
      resultText(B),
      ']}',
      '',
    ]);
    expect(JSON.parse(resultSetText([]))).toEqual({ schema: 'vkernel-lab-set/1', results: [] });
  });
});

describe('what is no result is refused with the field', () => {
  test.each([
    [null, 'nothing is no table'],
    [[], 'a list is no table'],
    [{ ...A, schema: 'vkernel-lab/9' }, "schema: 'vkernel-lab/9' is none of vkernel-lab/1"],
    [{ ...A, job: { ...A.job, seed: -1 } }, 'job.seed: -1 is no whole number'],
    [{ ...A, counts: { ...A.counts, reads: 1.5 } }, 'counts.reads: 1.5 is no whole number'],
    [{ ...A, cycles: { ...A.cycles, total: null } }, 'cycles.total: no number'],
    [{ ...A, partial: { why: 'x' } }, 'partial.why: no such field'],
    [{ schema: 'vkernel-lab-set/1', results: [A, 7] }, 'results[1]: 7 is no table'],
  ])('%#', (value, text) => {
    expect(problemsOf(value).join('\n')).toContain(text);
  });

  test('a result with any value in the place of another is read or refused, never an exception', () => {
    const paths = Object.keys(A);
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue({ maxDepth: 3 }), (field, value) => {
        const read = readResults({ ...A, [field]: value });
        expect('results' in read || read.problems.length > 0).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});
