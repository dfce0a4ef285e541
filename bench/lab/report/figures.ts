/**
 * The charts of a set of results: which there are follows from what was varied.
 *
 *   always                      references per walk, walk fraction (with published ones), cycles per access: bars by workload
 *   a quantity was varied       cycles per access and walk fraction over it, a line for each method: where lines cross, one
 *                               method becomes better than another
 *   anything else was varied    the same as bars, by its value
 *
 * A chart shows one thing that varies. Where several do, the others stand at their first value, and the caption says so; at
 * their last, where nothing depends on the thing at their first (the size of changes, while there are none). A method without
 * the thing (native, where pages of the host vary) is in every chart: it is the same whatever the value.
 */
import type { Bar } from './chart.ts';
import { barChart, lineChart } from './chart.ts';
import { workName } from './published.ts';
import { type Cell, distinct, METRICS, type MetricName, NO_VALUE, type Row, variedPaths } from './rows.ts';

export interface Figure {
  /** Of the file, without its ending. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly svg: string;
}

/** What a person calls the fields that are varied most. */
const NAMES: Readonly<Record<string, string>> = {
  'guest.pageSizes': 'pages of the guest',
  'hosts.0.pageSizes': 'pages of the host',
  'guest.layout': 'layout of the guest',
  'hosts.0.layout': 'layout of the host',
  'workload.params.footprint': 'footprint, bytes',
  'workload.params.rate': 'changes of the mapping per thousand accesses',
  'workload.params.batch': 'pages in one change of the mapping',
  'machine.name': 'machine',
};

const nameOf = (path: string): string => NAMES[path] ?? path;

/** Fields that follow from another one: those of a layout from its name, those of a machine from its own. */
const LEADERS: readonly { readonly leader: string; readonly follows: RegExp }[] = [
  { leader: 'machine.name', follows: /^machine\./ },
  { leader: 'guest.layout', follows: /^guest\.(options\.|tableBase|dataBase|memoryBytes)/ },
  { leader: 'hosts.0.layout', follows: /^hosts\.0\.(options\.|tableBase|dataBase|memoryBytes)/ },
  { leader: 'workload.params.footprint', follows: /^(guest|hosts\.\d)\.memoryBytes$/ },
];

export function figuresOf(rows: readonly Row[]): readonly Figure[] {
  if (rows.length === 0) return [];
  const paths = variedPaths(rows).filter((path) => !follows(path, rows));
  return [
    ...overview(rows, paths),
    ...paths.flatMap((path) => (isQuantity(path, rows) ? lines(rows, path, paths) : bars(rows, path, paths))),
  ];
}

function follows(path: string, rows: readonly Row[]): boolean {
  const varied = variedPaths(rows);
  return (
    path === 'seed' || LEADERS.some(({ leader, follows: pattern }) => path !== leader && pattern.test(path) && varied.includes(leader))
  );
}

function isQuantity(path: string, rows: readonly Row[]): boolean {
  return valuesOf(path, rows).every((value) => typeof value === 'number');
}

/** The values of `path` in the rows that have it. */
function valuesOf(path: string, rows: readonly Row[]): readonly Cell[] {
  return distinct(rows.map((row) => row.varied[path]).filter((value) => value !== NO_VALUE));
}

/** Some rows of a report, and what the caption says of how they were chosen. */
interface Choice {
  readonly rows: readonly Row[];
  readonly note: string;
}

/** Rows for a chart over `free`. */
function choiceOver(free: string, rows: readonly Row[], paths: readonly string[]): Choice {
  const first = fixed(rows, paths, free, 0);
  const last = fixed(rows, paths, free, -1);
  return isFlat(first.rows) && !isFlat(last.rows) ? last : first;
}

/** Whether each method costs the same in all rows of a workload. */
function isFlat(rows: readonly Row[]): boolean {
  const costs = new Map<string, number>();
  return rows.every(({ workload, method, metrics: { cyclesPerAccess } }) => {
    const key = `${workload} ${method}`;
    const isSame = (costs.get(key) ?? cyclesPerAccess) === cyclesPerAccess;
    costs.set(key, cyclesPerAccess);
    return isSame;
  });
}

/** Rows in which everything varied but `free` has its first value (0) or its last (-1), or none. */
function fixed(rows: readonly Row[], paths: readonly string[], free: string | null, which: 0 | -1): Choice {
  const others = paths.filter((path) => path !== free);
  const held = others.map((path) => [path, valuesOf(path, rows).at(which)] as const);
  const note = held.map(([path, value]) => `${nameOf(path)}: ${value}`).join('; ');
  return {
    rows: rows.filter((row) => held.every(([path, value]) => row.varied[path] === value || row.varied[path] === NO_VALUE)),
    note: note === '' ? '' : ` With ${note}.`,
  };
}

function overview(all: readonly Row[], paths: readonly string[]): Figure[] {
  const { rows, note } = fixed(all, paths, null, 0);
  return (['referencesPerWalk', 'walkFraction', 'cyclesPerAccess'] as const).map((metric) => {
    const shown = rows.map((row): Bar => {
      const published = metric === 'walkFraction' ? row.published : null;
      return {
        group: row.workload,
        name: row.method,
        value: row.metrics[metric],
        ...(published === null ? {} : { published: published.value }),
      };
    });
    const works = distinct(rows.flatMap((row) => row.published?.work ?? []));
    const source = metric === 'walkFraction' && works.length > 0 ? ` Published: ${works.map(workName).join('; ')}.` : '';
    return {
      name: kebab(metric),
      title: capital(METRICS[metric]),
      caption: `${capital(METRICS[metric])} by workload and method.${note}${source}`,
      svg: barChart({ title: capital(METRICS[metric]), y: METRICS[metric], bars: shown }),
    };
  });
}

const OVER: readonly MetricName[] = ['cyclesPerAccess', 'walkFraction'];

function lines(all: readonly Row[], path: string, paths: readonly string[]): Figure[] {
  const { rows, note } = choiceOver(path, all, paths);
  return workloadsWith(path, rows).flatMap((workload) =>
    OVER.map((metric) => {
      const mine = rows.filter((row) => row.workload === workload);
      const values = valuesOf(path, mine);
      const series = distinct(mine.map(({ method }) => method)).map((name) => ({
        name,
        points: mine
          .filter(({ method }) => method === name)
          .flatMap((row) => eachValue(row, path, values).map((x) => ({ x: x as number, y: row.metrics[metric] })))
          .sort((a, b) => a.x - b.x),
      }));
      const title = `${capital(METRICS[metric])}, ${workload}`;
      return {
        name: `${kebab(metric)}-${kebab(path)}-${kebab(workload)}`,
        title,
        caption: `${capital(METRICS[metric])} of ${workload} over ${nameOf(path)}.${note}${crossings(series)}`,
        svg: lineChart({ title, x: nameOf(path), y: METRICS[metric], series }),
      };
    }),
  );
}

/** Workloads among whose rows `path` is varied: others have no such parameter. */
function workloadsWith(path: string, rows: readonly Row[]): readonly string[] {
  return distinct(rows.filter((row) => row.varied[path] !== NO_VALUE).map(({ workload }) => workload));
}

/** The values of `path` that a row stands for: its own; without one, all. */
function eachValue(row: Row, path: string, all: readonly Cell[]): readonly Cell[] {
  return row.varied[path] === NO_VALUE ? all : [row.varied[path]];
}

/** Where lines cross, between which two values: the answer most of these charts are drawn for. */
function crossings(
  series: readonly { readonly name: string; readonly points: readonly { readonly x: number; readonly y: number }[] }[],
): string {
  const found: string[] = [];
  for (const [i, one] of series.entries()) {
    for (const other of series.slice(i + 1)) {
      for (let k = 1; k < Math.min(one.points.length, other.points.length); k++) {
        const before = one.points[k - 1].y - other.points[k - 1].y;
        const after = one.points[k].y - other.points[k].y;
        if (before * after >= 0) continue;
        const [worse, better] = before < 0 ? [one.name, other.name] : [other.name, one.name];
        found.push(`${better} becomes lower than ${worse} between ${one.points[k - 1].x} and ${one.points[k].x}`);
      }
    }
  }
  return found.length === 0 ? '' : ` ${capital(found.join('; '))}.`;
}

function bars(all: readonly Row[], path: string, paths: readonly string[]): Figure[] {
  const { rows, note } = choiceOver(path, all, paths);
  return workloadsWith(path, rows).map((workload) => {
    const mine = rows.filter((row) => row.workload === workload);
    const values = valuesOf(path, mine);
    const title = `Cycles per access, ${workload}`;
    return {
      name: `cycles-per-access-${kebab(path)}-${kebab(workload)}`,
      title,
      caption: `Cycles per access of ${workload} by ${nameOf(path)}.${note}`,
      svg: barChart({
        title,
        y: METRICS.cyclesPerAccess,
        bars: mine.flatMap((row) =>
          eachValue(row, path, values).map((value) => ({ group: label(value), name: row.method, value: row.metrics.cyclesPerAccess })),
        ),
      }),
    };
  });
}

function label(value: Cell): string {
  return String(value).slice(0, 24);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function kebab(text: string): string {
  return text
    .replace(/([a-z])([A-Z])/g, '$1-$2')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .toLowerCase();
}
