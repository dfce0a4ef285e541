/**
 * Reports: the same results as one HTML file that needs nothing else, or as Markdown beside SVG files.
 *
 *   what was run -> table of results -> charts with captions -> what the machine's numbers rest on -> what the model does not claim
 */
import type { LabResult } from '../result.ts';
import { resultSetText } from '../result.ts';
import { type Figure, figuresOf } from './figures.ts';
import { workName, WORKS } from './published.ts';
import { type Cell, distinct, METRICS, type MetricName, type Row, rowsOf, variedPaths } from './rows.ts';

export interface Report {
  readonly html: string;
  readonly markdown: string;
  readonly figures: readonly Figure[];
  readonly rows: readonly Row[];
}

/** What a reader must be told wherever our numbers go. */
const CLAIMS = [
  'Counts (references, hits, faults, traps) follow exactly from the workload, the page tables and the structures of the machine described; the same job gives the same counts everywhere.',
  'Cycles are counts multiplied with costs. The model is in order: every access pays its whole latency. Compare methods with each other, not with a processor.',
  'Workloads named like programs (redis-like) have the character of their memory accesses. They are not those programs.',
  'Costs of events differ by a factor of ten between processors of ten years. Vary them before resting a conclusion on them.',
];

const SHOWN: readonly MetricName[] = ['referencesPerWalk', 'walkFraction', 'trapCyclesPerAccess', 'cyclesPerAccess'];

export function reportOf(results: readonly LabResult[], title: string): Report {
  const rows = rowsOf(results);
  const figures = figuresOf(rows);
  return { html: html([{ heading: '', rows, figures }], title), markdown: markdown(rows, figures, title), figures, rows };
}

/** One page for several sets of results, in each of which something else was varied: a table and charts for each. */
export function pageOf(sets: ReadonlyMap<string, readonly LabResult[]>, title: string): string {
  const parts = [...sets].map(([heading, results]): Part => {
    const rows = rowsOf(results);
    return { heading, rows, figures: figuresOf(rows) };
  });
  return html(parts, title);
}

/** What one set of results fills of a page. */
interface Part {
  readonly heading: string; // empty: the page's own is enough
  readonly rows: readonly Row[];
  readonly figures: readonly Figure[];
}

interface Table {
  readonly head: readonly string[];
  readonly body: readonly (readonly Cell[])[];
}

function tableOf(rows: readonly Row[]): Table {
  const paths = variedPaths(rows);
  const hasPublished = rows.some((row) => publishedCell(row) !== '');
  const hasNotes = rows.some((row) => noteCell(row) !== '');
  const head = [
    'workload',
    'method',
    ...paths,
    ...SHOWN.map((metric) => METRICS[metric]),
    ...(hasPublished ? ['published walk fraction'] : []),
    ...(hasNotes ? ['note'] : []),
  ];
  const body = rows.map((row) => [
    row.workload,
    row.method,
    ...paths.map((path) => row.varied[path]),
    ...SHOWN.map((metric) => number(row.metrics[metric])),
    ...(hasPublished ? [publishedCell(row)] : []),
    ...(hasNotes ? [noteCell(row)] : []),
  ]);
  return { head, body };
}

function publishedCell({ published }: Row): string {
  if (published === null) return '';
  return `${number(published.value)} (${workName(published.work)}${published.from === 'derived' ? ', derived' : ''})`;
}

function noteCell({ result: { partial } }: Row): string {
  return partial === null ? '' : `partial: ${partial.reason}`;
}

/** Four digits are more than anybody compares. */
function number(value: number): string {
  return value === 0 ? '0' : Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

/** Numbers of the machines that no source was seen for, in words. */
function assumptionsOf(rows: readonly Row[]): readonly string[] {
  return distinct(rows.flatMap(({ result }) => assumptions(result)));
}

function assumptions({ job }: LabResult): string[] {
  const { name, sources } = job.machine as {
    readonly name?: string;
    readonly sources?: Readonly<Record<string, { readonly source: string; readonly verified: boolean }>>;
  };
  return Object.entries(sources ?? {})
    .filter(([, { verified }]) => !verified)
    .map(([path, { source }]) => `${name ?? 'machine'}: ${path} is an assumption (${source})`);
}

function markdown(rows: readonly Row[], figures: readonly Figure[], title: string): string {
  const { head, body } = tableOf(rows);
  const cell = (value: Cell): string => String(value).replaceAll('|', '\\|').replaceAll('\n', ' ');
  const line = (cells: readonly Cell[]): string => `| ${cells.map(cell).join(' | ')} |`;
  const list = (items: readonly string[]): string => items.map((item) => `- ${item}`).join('\n');
  const assumed = assumptionsOf(rows);
  return [
    `# ${title}`,
    [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n'),
    ...figures.map(({ name, title: heading, caption }) => `## ${heading}\n\n![${heading}](${name}.svg)\n\n${caption}`),
    '## What these numbers claim',
    list(CLAIMS),
    ...(assumed.length === 0 ? [] : ['## Assumptions', list(assumed)]),
    '',
  ].join('\n\n');
}

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0 } th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
th { background: #f4f4f4; text-align: right } td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left } .wide { overflow-x: auto }
figure { margin: 2rem 0 } figcaption { color: #555; font-size: 14px } svg { max-width: 100%; height: auto }`;

function html(parts: readonly Part[], title: string): string {
  const rows = parts.flatMap((part) => part.rows);
  const list = (items: readonly string[]): string => `<ul>\n${items.map((item) => `<li>${escaped(item)}</li>`).join('\n')}\n</ul>`;
  const assumed = assumptionsOf(rows);
  const works = distinct(rows.flatMap(({ published }) => published?.work ?? []));
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body>
<h1>${escaped(title)}</h1>
${parts.map(htmlPart).join('\n')}
<h2>What these numbers claim</h2>
${list(CLAIMS)}
${assumed.length === 0 ? '' : `<h2>Assumptions</h2>\n${list(assumed)}`}
${works.length === 0 ? '' : `<h2>Published work</h2>\n${list(works.map((id) => `${WORKS[id].authors}: ${WORKS[id].title}. ${WORKS[id].venue} ${WORKS[id].year}.`))}`}
<script type="application/json" id="results">${resultSetText(rows.map(({ result }) => result)).replaceAll('<', '\\u003c')}</script>
</body>
</html>
`;
}

function htmlPart({ heading, rows, figures }: Part): string {
  const { head, body } = tableOf(rows);
  const row = (cells: readonly Cell[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((value) => `<${tag}>${escaped(String(value))}</${tag}>`).join('')}</tr>`;
  return `${heading === '' ? '' : `<h2>${escaped(heading)}</h2>\n`}<div class="wide"><table>
<thead>${row(head, 'th')}</thead>
<tbody>
${body.map((cells) => row(cells, 'td')).join('\n')}
</tbody></table></div>
${figures.map(({ svg, caption }) => `<figure>${svg}<figcaption>${escaped(caption)}</figcaption></figure>`).join('\n')}`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
