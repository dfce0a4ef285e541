/** Layouts as a person reads them: the list of all, and one of them drawn bit by bit. Text only; the facts are found elsewhere. */
import { type ClassPattern, type LayoutDescriptor, pageShiftOf, pageSizes, tableCost } from '../../hostkernel/machine/paging/index.ts';
import { type EntryField, type EntryKind, entryKinds } from './layout-anatomy.ts';

/** Columns that a drawing may take; a wider one goes on in a further row. */
const COLUMNS = 110;

/** Bytes as a person writes them: 8 K, 2.01 M. */
export function bytesText(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(value >= 100 ? 0 : 2))} ${units[unit]}`;
}

/** Index widths from the root: 9-9-9; a fixed first entry is named by itself. */
export function levelsText(layout: LayoutDescriptor): string {
  return layout.levels.map((level) => (level.bits === 0 ? level.name.toLowerCase() : String(level.bits))).join('-');
}

/** Lines with columns of equal width. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), []);
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(i === row.length - 1 ? 0 : widths[i]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The whole drawing of a layout. */
export function drawLayout(layout: LayoutDescriptor): string {
  return [
    heading(layout),
    section('Address', drawAddress(layout)),
    ...drawKinds(layout),
    section('What an entry is (the first line that matches decides)', drawClasses(layout)),
    ...(Object.keys(layout.options).length === 0 ? [] : [section('Options', drawOptions(layout))]),
  ].join('\n\n');
}

const section = (title: string, body: string): string => `${title}\n${body.replaceAll(/^(?=.)/gm, '  ')}`;

function heading(layout: LayoutDescriptor): string {
  const { id, title, entryBytes, endian, stage, va, paBits, perm, offset } = layout;
  const cost = tableCost(layout);
  const rules: Readonly<Record<typeof va.rule, string>> = {
    sign: `bits above ${va.bits - 1} copy it`,
    zero: `bits above ${va.bits - 1} are zero`,
    trunc: 'there are no more bits',
    wrap: `bits above ${va.bits - 1} are ignored`,
    split: 'upper bits all zero choose root 0, all one root 1',
    maskzero: `bits in ${va.mask ?? '0x0'} are zero`,
  };
  const rows = [
    ['entries', `${entryBytes} bytes, ${endian === 'be' ? 'big' : 'little'}-endian${stage === 2 ? ', second stage' : ''}`],
    ['addresses', `${va.bits} bits, ${rules[va.rule]}; physical ${paBits} bits`],
    ['pages', pageSizes(layout).map(bytesText).join(', ')],
    [
      'root',
      layout.root.kind === 'value' ? 'a value that is itself an entry' : `register & ${layout.root.mask} is the address of the first table`,
    ],
    [
      'rights',
      `${perm.combine === 'and' ? 'all levels must grant' : 'the leaf alone grants'}, judged ${perm.check === 'each' ? 'at each level' : 'at the leaf'}`,
    ],
    ['frames', offset === 'add' ? 'the offset is added: a large page needs no alignment' : 'frame and offset are put side by side'],
    [
      'tables',
      `${cost.tableBytes.map(bytesText).join(', ')} each, from the root; ${bytesText(cost.onePage)} for one page, ${bytesText(cost.gibibyte)} for 1 GiB, ${bytesText(cost.everything)} for everything`,
    ],
  ];
  return `${id}${title === undefined ? '' : `: ${title}`}\n${table(rows).replaceAll(/^/gm, '  ')}`;
}

/** A row of boxes: a line of bit numbers, a line of names. Goes on in further rows where it is too wide. */
function boxes(cells: readonly (readonly [bits: string, name: string])[]): string {
  const rows: (readonly [string, string])[][] = [[]];
  let columns = 1;
  for (const cell of cells) {
    const width = Math.max(cell[0].length, cell[1].length) + 3;
    if (columns + width > COLUMNS) {
      rows.push([]);
      columns = 1;
    }
    rows.at(-1)?.push(cell);
    columns += width;
  }
  const line = (row: readonly (readonly [string, string])[], which: 0 | 1): string =>
    `| ${row.map((cell) => cell[which].padEnd(Math.max(cell[0].length, cell[1].length))).join(' | ')} |`;
  return rows.map((row) => `${line(row, 0)}\n${line(row, 1)}`).join('\n\n');
}

const bitsText = (hi: number, lo: number): string => (hi === lo ? String(hi) : `${hi}..${lo}`);

function drawAddress(layout: LayoutDescriptor): string {
  const { va, levels } = layout;
  const page = pageShiftOf(layout);
  const above = { sign: `= bit ${va.bits - 1}`, zero: '= 0', wrap: 'ignored', split: 'root', maskzero: 'masked', trunc: '' }[va.rule];
  const upper = va.rule === 'trunc' || va.bits >= 64 ? [] : [[bitsText(63, va.bits), above] as const];
  const indexes = levels
    .filter((level) => level.bits > 0)
    .map((level) => [bitsText(level.lo + level.bits - 1, level.lo), level.name] as const);
  return boxes([...upper, ...indexes, [bitsText(page - 1, 0), 'offset']]);
}

function kindTitle(layout: LayoutDescriptor, kind: EntryKind): string {
  const where = kind.levels.length === layout.levels.length && kind.levels.length > 1 ? 'every level' : kind.levels.join(', ');
  if (kind.as === 'leaf') return `Leaf on ${where}: maps ${leafSize(layout, kind)}`;
  return kind.as === 'table' ? `Pointer on ${where}` : `Indirect entry on ${where}: the address of the real one`;
}

function leafSize(layout: LayoutDescriptor, kind: EntryKind): string {
  const isAll = layout.levels.find((level) => level.name === kind.levels[0])?.bits === 0;
  return isAll ? 'everything' : bytesText(2 ** kind.pageShift);
}

function drawKinds(layout: LayoutDescriptor): readonly string[] {
  const drawn = new Map<string, string>(); // permissions -> the kind that showed them
  return entryKinds(layout, layout.options).map((kind) => {
    const permissions = drawPermissions(kind);
    const before = drawn.get(permissions);
    const title = kindTitle(layout, kind);
    if (permissions !== '' && before === undefined) drawn.set(permissions, title.split(':')[0]);
    return section(title, drawKind(layout, kind, before === undefined ? permissions : `permissions as in: ${before}`));
  });
}

function drawKind(layout: LayoutDescriptor, kind: EntryKind, permissions: string): string {
  const drawing = boxes(kind.fields.map((field) => [bitsText(field.hi, field.lo), field.name]));
  const notes = kind.fields.filter((field) => field.text !== '').map((field) => [bitName(field), field.name, field.text]);
  const parts = [drawing];
  if (notes.length > 0) parts.push(table(notes));
  if (kind.permissions.length > 0) parts.push(permissions);
  if (kind.as === 'leaf' && layout.contiguous !== undefined) {
    const run = kind.levels.map((level) => layout.contiguous?.entries[level]).find((entries) => entries !== undefined);
    if (run !== undefined) parts.push(`runs of ${run} entries with bit ${layout.contiguous.bit} set may be cached as one`);
  }
  return parts.join('\n');
}

const bitName = (field: EntryField): string => `${field.hi === field.lo ? 'bit' : 'bits'} ${bitsText(field.hi, field.lo)}`;

function drawPermissions(kind: EntryKind): string {
  const { permissionBits, permissions } = kind;
  if (permissions.length === 0) return '';
  if (permissionBits.length === 0) return `always grants user ${permissions[0].user}, supervisor ${permissions[0].super}`;
  return table([[`bits ${permissionBits.join(' ')}`, 'user', 'supervisor'], ...permissions.map((row) => [row.bits, row.user, row.super])]);
}

/** A pattern in words: `bits 3..1 = 010, some bit of 58..54`. */
export function patternText(pattern: Pick<ClassPattern, 'mask' | 'value' | 'any' | 'opt' | 'nopt'>): string {
  const mask = BigInt(pattern.mask);
  const value = BigInt(pattern.value);
  const words = runs(mask).map(([hi, lo]) => {
    const digits = ((value >> BigInt(lo)) & (2n ** BigInt(hi - lo + 1) - 1n)).toString(2).padStart(hi - lo + 1, '0');
    return `${hi === lo ? 'bit' : 'bits'} ${bitsText(hi, lo)} = ${digits}`;
  });
  if (pattern.any !== undefined)
    words.push(
      `a bit of ${runs(BigInt(pattern.any))
        .map(([hi, lo]) => bitsText(hi, lo))
        .join(', ')} set`,
    );
  if (words.length === 0) words.push('any other');
  const options = [...(pattern.opt ?? []).map((name) => `${name}=1`), ...(pattern.nopt ?? []).map((name) => `${name}=0`)];
  return options.length === 0 ? words.join(', ') : `${words.join(', ')} (with ${options.join(', ')})`;
}

/** Runs of set bits, the highest first. */
function runs(bits: bigint): readonly (readonly [hi: number, lo: number])[] {
  const found: [number, number][] = [];
  for (let n = 63; n >= 0; n--) {
    if (((bits >> BigInt(n)) & 1n) === 0n) continue;
    const last = found.at(-1);
    if (last !== undefined && last[1] === n + 1) last[1] = n;
    else found.push([n, n]);
  }
  return found;
}

function drawClasses(layout: LayoutDescriptor): string {
  const drawn = layout.levels.map((level) => ({
    name: level.name,
    rows: layout.classify[level.name].map((pattern) => [patternText(pattern), outcomeText(pattern)]),
  }));
  const groups = new Map<string, { names: string[]; rows: readonly (readonly string[])[] }>();
  for (const { name, rows } of drawn) {
    const key = JSON.stringify(rows);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { names: [name], rows });
    else group.names.push(name);
  }
  return [...groups.values()].map(({ names, rows }) => `${names.join(', ')}\n${table(rows).replaceAll(/^/gm, '  ')}`).join('\n');
}

function outcomeText(pattern: ClassPattern): string {
  if (pattern.as === 'invalid') return 'not-present';
  if (pattern.as === 'reserved') return pattern.fault ?? 'reserved';
  if (pattern.as === 'table') return 'pointer';
  return pattern.pageShift === undefined ? pattern.as : `${pattern.as} of ${bytesText(2 ** pattern.pageShift)}`;
}

function drawOptions(layout: LayoutDescriptor): string {
  return table(
    Object.entries(layout.options).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : value === 1 ? 'on' : 'off',
      usesOf(layout, name).join(', '),
    ]),
  );
}

/** The rules that ask for an option. */
function usesOf(layout: LayoutDescriptor, name: string): readonly string[] {
  const { classify, perm, ad, va, domain } = layout;
  const lists = new Map<string, readonly { readonly opt?: readonly string[]; readonly nopt?: readonly string[] }[]>([
    ...Object.entries(classify).map(([level, list]) => [`classify.${level}`, list] as const),
    ['perm.entry', perm.entry ?? []],
    ['perm.tableEntry', perm.tableEntry ?? []],
    ...Object.entries(perm.entryAt ?? {}).map(([level, list]) => [`perm.entryAt.${level}`, list] as const),
    ['perm.post', perm.post],
    ['ad.fault', ad.fault],
    ['ad.set', ad.set],
  ]);
  const uses = [...lists].flatMap(([path, list]) => {
    const places = list.flatMap((rule, i) => ((rule.opt ?? []).includes(name) || (rule.nopt ?? []).includes(name) ? [i] : []));
    return places.length === 0 ? [] : [`${path}[${places.join(', ')}]`];
  });
  if (va.strictOpt === name) uses.push('va.strictOpt');
  if (domain?.reg === name) uses.push('domain.reg');
  return uses;
}
