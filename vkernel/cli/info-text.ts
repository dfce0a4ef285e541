/** A census of physmem as a person reads it. Text only; the facts are physmem's (core/census.ts). */
import type { ContainerCensus, ControlCensus, PhysmemCensus } from '../index.ts';
import { bytesText, table } from './layout-drawing.ts';

const count = (n: number): string => n.toLocaleString('en');
const section = (title: string, body: string): string => `${title}\n${body.replaceAll(/^(?=.)/gm, '  ')}`;

export function censusText(census: PhysmemCensus): string {
  return [
    section('Memory, in pages of 4 KiB', memory(census)),
    section('Memory controls and their containers', controls(census.controls)),
    section('Frames, by size', frames(census)),
    section('Sharing', sharing(census)),
    section('Free memory', free(census)),
    section('Since the start', counters(census)),
  ].join('\n\n');
}

function memory({ memory: { received, fixed, free: unused, bound, charged }, tableBytes }: PhysmemCensus): string {
  return table([
    ['received', count(received), '= fixed + free + bound'],
    ['fixed', count(fixed), 'kept out of use'],
    ['free', count(unused), ''],
    ['bound', count(bound), 'in frames that have memory'],
    ['charged', count(charged), 'pages in containers, counted once for each that has them'],
    ['tables', bytesText(tableBytes), 'of frames and entries'],
  ]);
}

/** The tree of controls. A chain of them may be of any length: no recursion. */
function controls(root: ControlCensus): string {
  const rows: string[][] = [['', 'limit', 'used', 'overhead', '', '', '']];
  const todo: { control: ControlCensus; depth: number; name: string }[] = [{ control: root, depth: 0, name: 'master' }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { control, depth, name } = next;
    const indent = '  '.repeat(depth);
    rows.push([`${indent}${name}`, count(control.limit), count(control.used), count(control.overhead), ...standing(control)]);
    for (const container of control.containers) rows.push(containerRow(container, `${indent}  `));
    control.children.toReversed().forEach((child, i) => {
      const number = control.children.length - i;
      todo.push({
        control: child,
        depth: depth + 1,
        name: child.principal === null ? `control ${number}` : `task ${child.principal.task}`,
      });
    });
  }
  return table(rows);
}

/** How a control stands with the policy server, and with its holders. */
function standing({ principal, abandoned }: ControlCensus): string[] {
  const said = abandoned ? ['abandoned'] : [];
  if (principal !== null) {
    said.push(`guaranteed ${count(principal.guaranteed)}`, `allocated ${count(principal.allocated)}`, `extra ${count(principal.extra)}`);
    if (principal.returning) said.push('asked to return pages');
    if (principal.dropped) said.push('dropped');
  }
  return said;
}

function containerRow({ id, kind, pages, entries, boundPages, sharedPages }: ContainerCensus, indent: string): string[] {
  const name = kind === 'user' ? `container ${id}` : `${kind} container ${id}`;
  const parts = `${count(entries)} ${entries === 1 ? 'entry' : 'entries'}`;
  return [`${indent}${name}`, '', count(pages), '', parts, `${count(boundPages)} bound`, `${count(sharedPages)} shared`];
}

function frames(census: PhysmemCensus): string {
  if (census.frames.length === 0) return 'none';
  const head = ['pages', 'bound', 'unbound', 'on disk', 'copy-on-write', 'stale', 'pinned', 'constrained'];
  const rows = census.frames.map((each) =>
    [each.pages, each.bound, each.unbound, each.onDisk, each.copyOnWrite, each.stale, each.pinned, each.constrained].map(count),
  );
  return table([head, ...rows]);
}

function sharing(census: PhysmemCensus): string {
  if (census.sharing.length === 0) return 'no frames';
  return table([
    ['groups', 'frames', 'entries'],
    ...census.sharing.map(({ groups, frames: number, entries }) => [count(groups), count(number), count(entries)]),
  ]);
}

function free({ fragmentation: { blocks, largest, scattered } }: PhysmemCensus): string {
  if (blocks.length === 0) return 'none';
  const share = (100 * scattered).toFixed(1);
  return [
    table([['pages', 'blocks'], ...blocks.map((block) => [count(block.pages), count(block.free)])]),
    `largest ${count(largest)} pages; ${share} % of free memory is elsewhere`,
  ].join('\n');
}

const COUNTERS: Readonly<Record<keyof PhysmemCensus['counters'], string>> = {
  flushes: 'mappings flushed',
  binds: 'frames given memory',
  zeroedPages: 'pages cleared',
  copies: 'frames copied to break copy-on-write',
  copiedPages: 'pages copied so',
  splits: 'frames split',
  moves: 'frames moved to other memory',
  movedPages: 'pages moved so',
  maps: 'map requests',
  items: 'map items made',
  softDiscarded: 'pages given up softly and used again',
};

function counters(census: PhysmemCensus): string {
  const rows = Object.entries(COUNTERS).map(([name, text]) => [count(census.counters[name as keyof typeof COUNTERS]), text]);
  return table(rows);
}
