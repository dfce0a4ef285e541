/** Charts as SVG text: the same rows give the same bytes, here and in a browser. */
import { barY, dot, frame, gridY, lineY, plot, type PlotOptions, ruleY } from '@observablehq/plot';
import { DOMImplementation, XMLSerializer } from '@xmldom/xmldom';

/** Of Okabe and Ito: to be told apart with any colour vision. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999'];
const WIDTH = 760; // pixels
const HEIGHT = 400;
const HEAD = 68; //  above the frame: title, legend, name of the y axis
const LEFT = 60;

export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface LineChart {
  readonly title: string;
  readonly x: string; // what the axis shows
  readonly y: string;
  readonly series: readonly Series[];
}

/** Lines over a quantity; on a logarithmic axis where it spans more than a factor of ten. */
export function lineChart({ title, x, y, series }: LineChart): string {
  const rows = series.flatMap(({ name, points }) => points.map((point) => ({ ...point, name })));
  const positive = rows.map((row) => row.x).filter((value) => value > 0);
  const isLog = positive.length === rows.length && Math.max(...positive) > 10 * Math.min(...positive);
  const names = series.map(({ name }) => name);
  return svg(title, y, names, {
    x: { label: x, ...(isLog ? { type: 'log' as const } : {}) },
    y: { label: null, zero: true, grid: true },
    color: { domain: names, range: rangeFor(names) },
    marks: [
      frame({ stroke: '#ccc' }),
      lineY(rows, { x: 'x', y: 'y', stroke: 'name', strokeWidth: 1.8 }),
      dot(rows, { x: 'x', y: 'y', stroke: 'name', fill: 'white', r: 3 }),
    ],
  });
}

export interface Bar {
  readonly group: string;
  readonly name: string;
  readonly value: number;
  /** A published value, shown as a short line across the bar. */
  readonly published?: number;
}

export interface BarChart {
  readonly title: string;
  readonly y: string;
  readonly bars: readonly Bar[];
}

/** Bars side by side in groups. */
export function barChart({ title, y, bars }: BarChart): string {
  const names = [...new Set(bars.map(({ name }) => name))];
  const groups = [...new Set(bars.map(({ group }) => group))];
  const published = bars.filter((bar) => bar.published !== undefined);
  return svg(title, y, published.length === 0 ? names : [...names, PUBLISHED], {
    x: { axis: null, domain: names },
    fx: { label: null, domain: groups, padding: 0.15 },
    y: { label: null, zero: true },
    color: { domain: names, range: rangeFor(names) },
    marks: [
      gridY({ stroke: '#ddd' }),
      barY(bars, { fx: 'group', x: 'name', y: 'value', fill: 'name' }),
      dot(published, { fx: 'group', x: 'name', y: 'published', symbol: 'diamond', stroke: 'black', fill: 'white', r: 4 }),
      ruleY([0]),
    ],
  });
}

const PUBLISHED = 'published';

function rangeFor(names: readonly string[]): string[] {
  return names.map((_, i) => COLOURS[i % COLOURS.length]);
}

/** Draws, with title, legend and the name of the y axis above: the file stands alone. */
function svg(title: string, y: string, names: readonly string[], options: PlotOptions): string {
  const document = new DOMImplementation().createDocument('http://www.w3.org/1999/xhtml', 'html', null) as unknown as Document;
  const figure = plot({
    document,
    className: 'chart',
    width: WIDTH,
    height: HEIGHT,
    marginTop: HEAD,
    marginLeft: LEFT,
    style: 'font-family: sans-serif; font-size: 12px; background: white',
    ...options,
  }) as unknown as Element;
  const add = (name: string, attributes: Readonly<Record<string, string | number>>, content = ''): void => {
    const shape = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, String(value));
    shape.textContent = content;
    figure.appendChild(shape);
  };
  const label = { 'text-anchor': 'start', fill: 'black' };
  add('text', { x: LEFT - 40, y: 18, 'font-size': 14, 'font-weight': 'bold', ...label }, title);
  add('text', { x: LEFT - 40, y: HEAD - 8, ...label }, `↑ ${y}`);
  let x = LEFT - 40;
  for (const [i, name] of names.entries()) {
    if (name === PUBLISHED) add('path', { d: `M${x + 5} 29l4 6l-4 6l-4 -6z`, fill: 'white', stroke: 'black' });
    else add('rect', { x, y: 30, width: 10, height: 10, fill: COLOURS[i % COLOURS.length] });
    add('text', { x: x + 15, y: 39, ...label }, name);
    x += 30 + 7 * name.length;
  }
  return new XMLSerializer().serializeToString(figure as unknown as Parameters<XMLSerializer['serializeToString']>[0]);
}
