/** `vkernel layouts`: what page-table layouts there are, and what is to be known of one. Each command returns an exit status. */
import { LAYOUT_NAMES, type LayoutDescriptor, layoutByName, pageSizes, tableCost } from '../../hostkernel/machine/paging/index.ts';
import { entryKinds } from './layout-anatomy.ts';
import { bytesText, drawLayout, levelsText, table } from './layout-drawing.ts';
import { layoutFromFile, namedLayout, problemLine } from './layout-file.ts';
import { rolesOf } from './layouts.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

export interface OutputOptions {
  readonly json?: boolean;
}

/** All layouts, a line each. */
export function listCommand(options: OutputOptions): number {
  const all = LAYOUT_NAMES.map((name) => layoutByName(name)).filter((layout) => layout !== null);
  if (options.json === true) {
    print(JSON.stringify(all.map(summaryOf), null, 2));
    return 0;
  }
  const head = ['LAYOUT', 'LEVELS', 'ENTRY', 'PAGES', 'VA', 'PA', '1 PAGE', '1 GIB', 'USE'];
  const rows = all.map((layout) => {
    const { entryBytes, endian, va, paBits } = layout;
    const cost = tableCost(layout);
    return [
      layout.id,
      levelsText(layout),
      `${entryBytes} ${endian}`,
      pageSizes(layout)
        .map(bytesText)
        .map((text) => text.replace(' ', ''))
        .join(' '),
      `${va.bits} ${va.rule}`,
      String(paBits),
      bytesText(cost.onePage),
      bytesText(cost.gibibyte),
      usesText(layout),
    ];
  });
  print(table([head, ...rows]));
  print('\n1 PAGE, 1 GIB: bytes of tables for a single page, for 1 GiB mapped with base pages. USE: --mmu, --vpte, or');
  print('--vpte of `vkernel host` only (host). `vkernel layouts show NAME` draws one.');
  return 0;
}

function usesText(layout: LayoutDescriptor): string {
  const roles = rolesOf(layout);
  const uses = [roles.mmu === null ? 'mmu' : '', roles.vpte === null ? 'vpte' : roles.hostVpte === null ? 'host' : ''].filter(
    (use) => use !== '',
  );
  return uses.length === 0 ? '-' : uses.join(' ');
}

/** What a program wants to know of a layout. */
function summaryOf(layout: LayoutDescriptor): object {
  const { id, title, arch, entryBytes, endian, va, paBits, stage } = layout;
  return {
    id,
    title,
    arch,
    stage: stage ?? 1,
    entryBytes,
    endian,
    levels: layout.levels,
    vaBits: va.bits,
    vaRule: va.rule,
    paBits,
    pageSizes: pageSizes(layout),
    tables: tableCost(layout),
    refused: rolesOf(layout),
  };
}

/** One layout, drawn. */
export async function showCommand(name: string, options: OutputOptions): Promise<number> {
  const layout = await namedLayout(name);
  if (typeof layout === 'string') return complain(layout, EXIT_USAGE);
  print(
    options.json === true
      ? JSON.stringify({ ...summaryOf(layout), entries: entryKinds(layout, layout.options), layout }, null, 2)
      : drawLayout(layout),
  );
  return 0;
}

const MAX_SHOWN = 20;

/** Everything that is wrong with a file, or odd. */
export async function checkCommand(path: string, options: OutputOptions): Promise<number> {
  const known = layoutByName(path);
  const { layout, problems } = known === null ? await layoutFromFile(path) : { layout: known, problems: [] };
  const errors = problems.filter((problem) => problem.severity === 'error').length;
  const status = errors > 0 ? EXIT_FAILURE : 0;
  if (options.json === true) {
    print(
      JSON.stringify(
        { file: path, ok: errors === 0, problems, ...(layout === null || errors > 0 ? {} : { layout: summaryOf(layout) }) },
        null,
        2,
      ),
    );
    return status;
  }
  for (const problem of problems.slice(0, MAX_SHOWN))
    complain(`${path}: ${problem.severity === 'warning' ? 'warning: ' : ''}${problemLine(problem)}`, 0);
  if (problems.length > MAX_SHOWN) complain(`${path}: and ${problems.length - MAX_SHOWN} more`, 0);
  if (layout !== null && errors === 0) print(`${layout.id}: ${summaryLine(layout)}`);
  return status;
}

/** What a good description adds up to, in a few lines. */
function summaryLine(layout: LayoutDescriptor): string {
  const cost = tableCost(layout);
  const { mmu, vpte, hostVpte } = rolesOf(layout);
  return [
    `${levelsText(layout)}, ${layout.entryBytes}-byte entries, ${layout.va.bits} address bits, pages ${pageSizes(layout).map(bytesText).join(', ')}`,
    `tables: ${bytesText(cost.onePage)} for one page, ${bytesText(cost.gibibyte)} for 1 GiB, at worst ${bytesText(cost.everything)}`,
    `--mmu: ${mmu ?? 'yes'}`,
    `--vpte: ${vpte ?? 'yes'}`,
    ...(vpte === null ? [] : [`--vpte of vkernel host: ${hostVpte ?? 'yes'}`]),
  ].join('\n  ');
}
