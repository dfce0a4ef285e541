/** Results as comma-separated values (RFC 4180): a row a result, all counts and cycles, and what was varied. */
import { type Cell, METRICS, type Row, variedPaths } from './rows.ts';

export function csvOf(rows: readonly Row[]): string {
  const paths = variedPaths(rows);
  const records = rows.map((row) => ({ ...headOf(row), ...row.varied, ...row.metrics, ...countsOf(row) }));
  const counts = [...new Set(records.flatMap((record) => Object.keys(record)))];
  const fixed = ['method', 'workload', 'guest', 'hosts', 'partial', ...paths, ...Object.keys(METRICS)];
  const columns = [...fixed, ...counts.filter((name) => !fixed.includes(name))];
  const line = (cells: readonly Cell[]): string => cells.map(quoted).join(',');
  const body = records.map((record: Readonly<Record<string, Cell>>) => line(columns.map((column) => record[column] ?? '')));
  return `${[line(columns), ...body].join('\r\n')}\r\n`;
}

function headOf({ method, workload, result }: Row): Record<string, Cell> {
  const { job, partial } = result;
  const name = (layout: (typeof job.guest)['layout']): string => (typeof layout === 'string' ? layout : layout.id);
  return {
    method,
    workload,
    guest: name(job.guest.layout),
    hosts: job.hosts.map((host) => name(host.layout)).join(' '),
    partial: partial?.reason ?? '',
  };
}

function countsOf({ result }: Row): Record<string, Cell> {
  const { counts, cycles, designs } = result;
  const cells: Record<string, Cell> = {};
  for (const name of ['records', 'accesses', 'reads', 'writes', 'fetches', 'instructions'] as const) cells[name] = counts[name];
  cells['walks'] = counts.walks.count;
  cells['references'] = counts.walks.references;
  for (const { stage, level, servedBy } of counts.walks.byStage) {
    for (const [by, references] of Object.entries(servedBy)) cells[`references.${stage}.${level}.${by}`] = references;
  }
  for (const [name, count] of Object.entries(counts.events)) cells[`events.${name}`] = count;
  for (const [name, count] of Object.entries(cycles)) cells[`cycles.${name}`] = count;
  for (const [structure, counters] of Object.entries(counts.structures)) {
    for (const [name, count] of Object.entries(counters)) cells[`${structure}.${name}`] = count;
  }
  for (const [name, { walkCycles, speedup }] of Object.entries(designs ?? {})) {
    cells[`designs.${name}.walkCycles`] = walkCycles;
    cells[`designs.${name}.speedup`] = speedup;
  }
  return cells;
}

/** A cell that a spreadsheet would take for a formula is made text. */
function quoted(cell: Cell): string {
  if (typeof cell === 'number') return String(cell);
  const text = /^[=+@\t\r-]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
