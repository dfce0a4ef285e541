import { DOMParser } from '@xmldom/xmldom';
import { describe, expect, test } from 'vitest';
import { readJob } from '../../../../bench/lab/job.ts';
import { csvOf } from '../../../../bench/lab/report/csv.ts';
import { pageOf, reportOf } from '../../../../bench/lab/report/document.ts';
import { figuresOf } from '../../../../bench/lab/report/figures.ts';
import { rowsOf } from '../../../../bench/lab/report/rows.ts';
import { type LabResult, readResults, RESULT_SCHEMA } from '../../../../bench/lab/result.ts';

interface Made {
  readonly method: string;
  readonly workload?: string;
  readonly params?: Record<string, number | string>;
  readonly hostPages?: string;
  readonly cycles: number; // per access
  readonly partial?: string;
}

/** A result with round numbers: 1000 accesses, 100 walks of 300 references, walks are half of all cycles. */
function resultOf({ method, workload = 'gups', params = {}, hostPages = '4K', cycles, partial }: Made): LabResult {
  const hosts = method === 'native' ? [] : [{ layout: 'sv48', pageSizes: hostPages }];
  const job = readJob({ method, guest: 'sv39', hosts, workload: { name: workload, params } });
  if (!('schema' in job)) throw new Error(JSON.stringify(job));
  const total = 1000 * cycles;
  return {
    schema: RESULT_SCHEMA,
    partial: partial === undefined ? null : { reason: partial },
    job,
    counts: {
      records: 1000,
      accesses: 1000,
      reads: 600,
      writes: 400,
      fetches: 0,
      instructions: 4000,
      structures: { l1d: { accesses: 1000, hits: 900 } },
      walks: { count: 100, references: 300, perWalk: [0, 0, 0, 100], byStage: [{ stage: 'guest', level: 0, servedBy: { l1: 300 } }] },
      events: { guestFaults: 7 },
    },
    cycles: { work: total / 4, tlb: 0, walk: total / 2, data: total / 4, traps: 0, total },
    derived: { referencesPerWalk: 3, walkFraction: 0.5, trapFraction: 0, projected: { 2: 1.33 } },
  };
}

/** nested stands still, shadow rises with the rate: they cross between 10 and 100. */
const crossover = [1, 10, 100].flatMap((rate) => [
  resultOf({ method: 'nested', workload: 'pt-churn', params: { rate }, cycles: 40 }),
  resultOf({ method: 'shadow', workload: 'pt-churn', params: { rate }, cycles: 20 + rate }),
]);

function parsed(xml: string): void {
  const problems: unknown[] = [];
  new DOMParser({ onError: (_, message) => problems.push(message) }).parseFromString(xml, 'text/xml');
  expect(problems).toEqual([]);
}

describe('charts', () => {
  test('are well-formed SVG with a title, and the same bytes each time', () => {
    const figures = figuresOf(rowsOf(crossover));
    expect(figures.length).toBe(5);
    for (const { svg, title } of figures) {
      parsed(svg);
      expect(svg).toContain(title);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    }
    expect(figuresOf(rowsOf(crossover))).toEqual(figures);
  });
  test('a line over what was varied says where methods cross', () => {
    const figure = figuresOf(rowsOf(crossover)).find(({ name }) => name === 'cycles-per-access-workload-params-rate-pt-churn');
    expect(figure?.caption).toBe(
      'Cycles per access of pt-churn over changes of the mapping per thousand accesses. Nested becomes lower than shadow between 10 and 100.',
    );
  });
  test('the size of changes is shown where there are changes', () => {
    const results = [1, 8].flatMap((batch) =>
      [0, 4].map((rate) => resultOf({ method: 'shadow', workload: 'pt-churn', params: { rate, batch }, cycles: 20 + rate * batch })),
    );
    const figures = figuresOf(rowsOf(results));
    const captionOf = (path: string): string | undefined =>
      figures.find(({ name }) => name.startsWith(`cycles-per-access-${path}`))?.caption;
    expect(captionOf('workload-params-batch')).toMatch(/With changes of the mapping per thousand accesses: 4\.$/);
    expect(captionOf('workload-params-rate')).toMatch(/With pages in one change of the mapping: 1\.$/);
  });

  test('page sizes become bars; what else was varied is held and named', () => {
    const results = ['4K', '2M'].flatMap((hostPages) =>
      [1, 2].map((rate) => resultOf({ method: 'nested', workload: 'pt-churn', params: { rate }, hostPages, cycles: 3 })),
    );
    const captions = figuresOf(rowsOf(results)).map(({ caption }) => caption);
    expect(captions).toContain('Cycles per access of pt-churn by pages of the host. With changes of the mapping per thousand accesses: 1.');
    expect(captions).toContain(
      'Cycles per access of pt-churn over changes of the mapping per thousand accesses. With pages of the host: 4K.',
    );
  });
  test('what only some methods have holds no other method back: each chart has them all', () => {
    const methods = ['native', 'nested', 'shadow', 'vpagetable', 'agile'];
    const results = methods.flatMap((method, i) =>
      (method === 'native' ? ['4K'] : ['4K', '2M']).map((hostPages) => resultOf({ method, hostPages, cycles: 3 + i })),
    );
    const rows = rowsOf(results);
    expect(Object.keys(rows[0].varied)).toEqual(['hosts.0.pageSizes']);
    const figures = figuresOf(rows);
    expect(figures.map(({ name }) => name)).toContain('cycles-per-access-hosts-0-page-sizes-gups');
    for (const { svg } of figures) for (const method of methods) expect(svg).toContain(`>${method}<`);
  });
  test('a parameter that only one workload has is a chart of that one, and holds the other back nowhere', () => {
    const figures = figuresOf(rowsOf([...crossover, resultOf({ method: 'nested', workload: 'stride', cycles: 9 })]));
    expect(figures.map(({ name }) => name)).toEqual([
      'references-per-walk',
      'walk-fraction',
      'cycles-per-access',
      'cycles-per-access-workload-params-rate-pt-churn',
      'walk-fraction-workload-params-rate-pt-churn',
    ]);
    expect(figures[0].svg).toContain('>stride<');
  });
  test('rows are in order, whatever order the results came in', () => {
    const methodsOf = (results: readonly LabResult[]): readonly string[] =>
      rowsOf(results).map(({ method, varied }) => `${method} ${Object.values(varied).join()}`);
    expect(methodsOf([...crossover].reverse())).toEqual(['nested 1', 'shadow 1', 'nested 10', 'shadow 10', 'nested 100', 'shadow 100']);
  });
  test('of no results are none', () => {
    expect(figuresOf([])).toEqual([]);
  });
});

test('a published number stands beside the walk fraction of its like, with the work it is from', () => {
  const { html, markdown } = reportOf([resultOf({ method: 'nested', workload: 'redis-like', cycles: 9 })], 'T');
  expect(markdown).toContain('| 0.478 (Zhang and others, ASPLOS 2024) |');
  expect(html).toContain('Direct memory translation for virtualized clouds');
});

describe('the page', () => {
  const hostile = resultOf({ method: 'nested', cycles: 2, partial: '</script><script>alert(1)</script> & "x" | y' });
  test('holds nothing that a result can break out of, and asks nothing of the network', () => {
    const { html } = reportOf([hostile], '<b>&');
    expect(html).not.toContain('<script>alert');
    expect(html).toContain('&lt;b&gt;&amp;');
    expect(html.replaceAll('http://www.w3.org/', '')).not.toMatch(/https?:\/\//);
  });
  test('holds the results themselves', () => {
    const { html } = reportOf(crossover, 'T');
    const [, json] = /<script type="application\/json" id="results">(.*?)<\/script>/s.exec(html) ?? [];
    const read = readResults(JSON.parse(json));
    expect('results' in read && read.results).toHaveLength(crossover.length);
  });
  test('a partial result is marked, and only then is there a column for it', () => {
    expect(reportOf(crossover, 'T').markdown).not.toContain('| note |');
    expect(reportOf([hostile], 'T').markdown).toContain('| note |');
    expect(reportOf([hostile], 'T').markdown).toContain('partial: </script><script>alert(1)</script> & "x" \\| y');
  });
});

describe('comma-separated values', () => {
  test('a row a result, the same columns in each', () => {
    const lines = csvOf(rowsOf(crossover)).trimEnd().split('\r\n');
    expect(lines).toHaveLength(7);
    const columns = lines[0].split(',');
    expect(columns.slice(0, 6)).toEqual(['method', 'workload', 'guest', 'hosts', 'partial', 'workload.params.rate']);
    expect(columns).toContain('references.guest.0.l1');
    expect(new Set(lines.map((line) => line.split(',').length))).toEqual(new Set([columns.length]));
  });
  test('a cell with commas or quotes is quoted, one that is a formula is text', () => {
    const cell = (partial: string): string => csvOf(rowsOf([resultOf({ method: 'nested', cycles: 1, partial })])).split('\r\n')[1];
    expect(cell('a,"b"')).toContain(',"a,""b""",');
    expect(cell('=1+1')).toContain(",'=1+1,");
  });
});

test('a page of several sets has a heading, a table and charts for each, of what is varied there; all results once, at the end', () => {
  const one = [resultOf({ method: 'nested', workload: 'gups', cycles: 9 })];
  const page = pageOf(
    new Map([
      ['One & only', one],
      ['Crossover', crossover],
    ]),
    'T',
  );
  expect(page.match(/<h2>.*?<\/h2>/g)).toEqual(expect.arrayContaining(['<h2>One &amp; only</h2>', '<h2>Crossover</h2>']));
  expect(page.match(/<table>/g)).toHaveLength(2);
  const [first, second] = page.slice(page.indexOf('<h2>One')).split('<h2>Crossover</h2>');
  expect(first).not.toContain('workload.params.rate');
  expect(second).toContain('workload.params.rate');
  expect(page.match(/id="results"/g)).toHaveLength(1);
});
