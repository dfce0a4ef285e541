/**
 * A walk told step by step: every entry read, what its fields say, and what is decided. The walk is the reference's
 * (machine/paging/reference.ts); here its steps are put into words. The memory that was given is not written.
 */
import {
  type FaultKind,
  type Hex,
  type LayoutDescriptor,
  type Options,
  type ReferenceMemory,
  type ReferenceResult,
  type U64,
  type WalkStep,
  walkReference,
} from '../../hostkernel/machine/paging/index.ts';
import { big, hexOf, u64 } from './judge.ts';
import { type EntryKind, entryKinds } from './layout-anatomy.ts';
import { bytesText, table } from './layout-drawing.ts';
import type { TableMemory } from './table-dump.ts';

export interface TraceRequest {
  readonly layout: LayoutDescriptor;
  readonly options: Options; // those that differ from the defaults
  readonly memory: TableMemory;
  readonly root: Hex;
  readonly root2: Hex | null; // of addresses with ones on top
  readonly va: Hex;
  readonly access: 'r' | 'w' | 'x';
  readonly mode: 'user' | 'super';
  readonly second: { readonly layout: LayoutDescriptor; readonly options: Options; readonly root: Hex } | null;
}

/** One entry, decoded. */
interface TracedStep extends WalkStep {
  readonly fields: Readonly<Record<string, number | string>>;
}

export interface Trace {
  readonly request: TraceRequest;
  readonly result: ReferenceResult;
  readonly steps: readonly TracedStep[];
}

/** Walks, and decodes every entry on the way. */
export function traceWalk(request: TraceRequest): Trace {
  const { layout, options, second } = request;
  const result = walkReference(layout, overlay(request), {
    root: u64(request.root),
    ...(request.root2 === null ? {} : { root2: u64(request.root2) }),
    va: u64(request.va),
    access: request.access,
    mode: request.mode,
    options,
    ...(second === null ? {} : { second: { layout: second.layout, options: second.options, root: u64(second.root) } }),
  });
  const kinds = {
    1: entryKinds(layout, { ...layout.options, ...options }),
    2: second === null ? [] : entryKinds(second.layout, { ...second.layout.options, ...second.options }),
  };
  return { request, result, steps: result.steps.map((step) => ({ ...step, fields: fieldsOf(step, kinds[step.stage]) })) };
}

/** The memory of a request with its changes kept apart. Entries of both stages are as wide as their addresses' owner says. */
function overlay({ layout, second, memory }: TraceRequest): ReferenceMemory {
  const changed = new Map<bigint, bigint>();
  // Dumps as pairs know their entries' width; raw ones are read with the layout's. Two stages of one dump are raw only
  // where both are alike.
  const { entryBytes, endian } = second === null ? layout : second.layout;
  return {
    read: (address) => {
      const at = big(address);
      const entry = changed.get(at) ?? memory.read(at, entryBytes, endian);
      return { lo: Number(entry & 0xffff_ffffn), hi: Number((entry >> 32n) & 0xffff_ffffn) };
    },
    write: (address, entry) => void changed.set(big(address), big(entry)),
  };
}

/** The named bits of an entry that points or maps, and what it permits. */
function fieldsOf(step: WalkStep, kinds: readonly EntryKind[]): Readonly<Record<string, number | string>> {
  const as = ({ follow: 'table', leaf: 'leaf', indirect: 'indirect', refuse: null } as const)[step.decision];
  const kind = kinds.find(
    ({ levels, as: own, pageShift }) => levels.includes(step.name) && own === as && (as !== 'leaf' || pageShift === step.pageShift),
  );
  if (kind === undefined) return {};
  const entry = big(step.entry);
  const found: Record<string, number | string> = {};
  for (const field of kind.fields) {
    if (field.role === 'address' || field.role === 'fixed' || field.role === 'free') continue;
    const value = Number((entry >> BigInt(field.lo)) & (2n ** BigInt(field.hi - field.lo + 1) - 1n));
    found[field.name === 'P' ? `P${field.lo}` : field.name] = value;
  }
  const bits = kind.permissionBits.map((n) => ((entry >> BigInt(n)) & 1n).toString()).join('');
  const row = kind.permissions.find((candidate) => candidate.bits === bits);
  if (row !== undefined) Object.assign(found, { user: row.user, super: row.super });
  return found;
}

/** The trace as lines. */
export function traceText(trace: Trace): string {
  const { request, result, steps } = trace;
  const { layout, second, mode, access, va } = request;
  const rows = steps.map((step) => [
    ...(second === null ? [] : [step.stage === 1 ? 'stage 1' : '  stage 2']),
    step.name,
    step.address === null ? 'root' : `[${step.index}] ${hexOf(step.address)}`,
    hexOf(step.entry),
    decisionText(step),
    Object.entries(step.fields)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  ]);
  return [
    `${layout.id}${second === null ? '' : ` over ${second.layout.id}`}: ${mode} ${ACCESS_NAMES[access]} of ${va}`,
    ...(rows.length === 0 ? [] : [table(rows).replaceAll(/^/gm, '  ')]),
    `  ${outcomeText(trace)}`,
    ...result.writes.map(({ address, entry }) => `  sets ${hexOf(address)} to ${hexOf(entry)}`),
  ].join('\n');
}

const ACCESS_NAMES = { r: 'read', w: 'write', x: 'fetch' } as const;

function decisionText(step: WalkStep): string {
  const next = step.next === null ? '' : hexOf(step.next);
  switch (step.decision) {
    case 'follow':
      return `pointer to ${next}`;
    case 'leaf':
      return `leaf: ${bytesText(2 ** step.pageShift)} at ${next}`;
    case 'indirect':
      return `the entry is at ${next}`;
    default: // refuse
      return step.kind === 'protection' ? `refuses: grants ${grantsText(step)}` : (step.kind ?? 'refused');
  }
}

/** What is granted, as user and supervisor rights. */
function grantsText({ granted }: WalkStep): string {
  const of = (m: 'u' | 's'): string => (['r', 'w', 'x'] as const).map((op) => (granted.includes(`${m}${op}`) ? op : '-')).join('');
  return `user ${of('u')}, super ${of('s')}`;
}

function outcomeText({ request, result, steps }: Trace): string {
  const count = `${result.refs.length} ${result.refs.length === 1 ? 'reference' : 'references'}`;
  const { second } = request;
  if (result.result === 'hit') {
    const through = second === null ? '' : ` by way of ${hexOf(result.gpa)}`;
    return `= ${hexOf(result.pa)}${through}, a page of ${bytesText(2 ** result.pageShift)}; ${count}`;
  }
  const { kind, code, stage, implicit, gpa } = result;
  const why =
    second === null || stage === 1 ? '' : `, translating ${gpa === null ? 'an address' : hexOf(gpa)}${implicit ? ' of an entry' : ''}`;
  const at = kind === 'noncanonical' ? '' : ` at ${steps.at(-1)?.name ?? 'the root'}${second === null ? '' : ` of stage ${stage}`}`;
  return `fault: ${kindText(kind)}${at}${why}${code === null ? '' : ` (code ${code})`}; ${count}`;
}

const kindText = (kind: FaultKind): string => (kind === 'noncanonical' ? 'noncanonical address' : kind);

/** The trace as a program wants it. */
export function traceJson({ request, result, steps }: Trace): object {
  const { layout, second, va, access, mode } = request;
  const hex = (n: U64 | null): Hex | null => (n === null ? null : hexOf(n));
  return {
    layout: layout.id,
    ...(second === null ? {} : { stage2: second.layout.id }),
    va,
    access,
    mode,
    steps: steps.map(({ address, guestAddress, entry, next, written, ...step }) => ({
      ...step,
      address: hex(address),
      ...(second === null ? {} : { guestAddress: hex(guestAddress) }),
      entry: hexOf(entry),
      next: hex(next),
      written: hex(written),
    })),
    result: result.result,
    ...(result.result === 'hit'
      ? { pa: hexOf(result.pa), ...(second === null ? {} : { gpa: hexOf(result.gpa) }), pageShift: result.pageShift }
      : {
          kind: result.kind,
          code: result.code,
          ...(second === null ? {} : { stage: result.stage, implicit: result.implicit, gpa: hex(result.gpa) }),
        }),
    level: result.level,
    references: result.refs.length,
    writes: result.writes.map(({ address, entry }) => [hexOf(address), hexOf(entry)]),
  };
}
