/** `vkernel lab workloads`, `machines`, `methods`: what there is to choose from. */
import {
  describeMachine,
  isMachine,
  MACHINE_NAMES,
  type MachineConfig,
  machineByName,
  parseMachine,
} from '../../hostkernel/machine/timing/index.ts';
import { bytesName, type MethodName } from '../../bench/lab/job.ts';
import type { DesignName } from '../../bench/lab/methods/post-processed.ts';
import { type Parameter, WORKLOAD_NAMES, WORKLOADS, workloadParams } from '../../bench/lab/workloads/index.ts';
import { isTable } from '../../hostkernel/base/shape.ts';
import { table } from './layout-drawing.ts';
import { fileValue, isFileName } from './layout-file.ts';
import { complain, EXIT_USAGE, print } from './report.ts';

export interface ListOptions {
  readonly json?: boolean;
}

/** All workloads, or one with its parameters. */
export function workloadsCommand(name: string | undefined, options: ListOptions): number {
  if (name !== undefined && !WORKLOAD_NAMES.includes(name))
    return complain(`no workload '${name}'; there are ${WORKLOAD_NAMES.join(', ')}`, EXIT_USAGE);
  const names = name === undefined ? WORKLOAD_NAMES : [name];
  if (options.json === true) {
    print(JSON.stringify(Object.fromEntries(names.map((one) => [one, { title: titleOf(one), params: workloadParams(one, {}) }])), null, 2));
    return 0;
  }
  if (name === undefined) print(table([['WORKLOAD', 'WHAT IT DOES'], ...names.map((one) => [one, titleOf(one)])]));
  else print(`${name}: ${titleOf(name)}\n${table(parameterRows(name)).replaceAll(/^/gm, '  ')}`);
  return 0;
}

const MIX_TITLE = 'several workloads in turn, each in an address space of its own';

function titleOf(name: string): string {
  return Object.hasOwn(WORKLOADS, name) ? WORKLOADS[name].title : MIX_TITLE;
}

function parameterRows(name: string): readonly (readonly string[])[] {
  const kinds: Readonly<Record<string, Parameter>> = Object.hasOwn(WORKLOADS, name) ? WORKLOADS[name].params : {};
  const rows = Object.entries(workloadParams(name, {})).map(([key, value]) => {
    const kind = kinds[key] as Parameter | undefined;
    const isBytes = typeof value === 'number' && kind !== undefined && kind.says.startsWith('bytes');
    const range = kind === undefined ? '' : 'words' in kind ? kind.words.join(', ') : `${kind.least} to ${kind.most}`;
    return [`workload.${key}`, isBytes ? bytesName(value) : String(value), range, kind?.says ?? ''];
  });
  return [['PARAMETER', 'DEFAULT', 'RANGE', 'WHAT IT IS'], ...rows];
}

const METHODS: Readonly<Record<MethodName | Exclude<DesignName, 'agile'>, string>> = {
  native: 'no host: the processor walks the guest’s tables alone',
  nested: 'two-dimensional walks in hardware, through tables of guest and host; three dimensions with two hosts',
  shadow: 'the hypervisor keeps tables that join both, by trapping writes to the guest’s',
  vpagetable: 'a virtual kernel: real tables are a cache of its own, filled by faults, emptied by its calls',
  agile: 'shadow tables for what the guest seldom changes, nested walks below',
  flattened: 'computed from nested walks: pairs of levels are one table',
  cuckoo: 'computed from nested walks: nested elastic cuckoo tables',
  dmt: 'computed from nested walks: direct memory translation',
  'dmt-pv': 'computed from nested walks: the same, para-virtualised',
  prefetched: 'computed from nested walks: the last two levels are fetched ahead',
};

/** All machines; or one, by name or file, with every number and where it is from. */
export async function machinesCommand(name: string | undefined, options: ListOptions): Promise<number> {
  if (name === undefined) {
    const all = MACHINE_NAMES.map((one) => machineByName(one)).filter((machine) => machine !== null);
    if (options.json === true) print(JSON.stringify(all.map(describeMachine), null, 2));
    else {
      const rows = all.map((machine) => [
        machine.name,
        assumptionsOf(machine).length.toString(),
        sourcedCount(machine),
        machine.description,
      ]);
      print(table([['MACHINE', 'ASSUMED', 'OF', 'WHAT IT IS'], ...rows]));
      print('\nASSUMED: numbers that no source was seen for. `vkernel lab machines NAME` names the source of each.');
    }
    return 0;
  }
  const machine = await namedMachine(name);
  if (typeof machine === 'string') return complain(machine, EXIT_USAGE);
  if (options.json === true) print(JSON.stringify(describeMachine(machine), null, 2));
  else print(machineText(machine));
  return 0;
}

async function namedMachine(name: string): Promise<MachineConfig | string> {
  const known = machineByName(name);
  if (known !== null) return known;
  if (!isFileName(name)) return `no machine '${name}'; there are ${MACHINE_NAMES.join(', ')}, and files (.toml, .json)`;
  const file = await fileValue(name);
  if ('problem' in file) return `${name}: ${file.problem}`;
  const read = parseMachine(file.value);
  if (isMachine(read)) return read;
  return `${name}: ${read[0].key}: ${read[0].message}${read.length > 1 ? ` (and ${read.length - 1} more)` : ''}`;
}

/** Keys of the numbers that no source was seen for. */
export function assumptionsOf({ sources }: Pick<MachineConfig, 'sources'>): readonly string[] {
  return Object.keys(sources).filter((key) => !sources[key].verified);
}

const sourcedCount = ({ sources }: MachineConfig): string => Object.keys(sources).length.toString();

function machineText(machine: MachineConfig): string {
  const description = describeMachine(machine);
  const rows = Object.entries(machine.sources).map(([key, { source, verified }]) => [
    verified ? '' : '*',
    key,
    valueText(valueAt(description, key)),
    source,
  ]);
  const notes = machine.notes.map((note) => `\n${note}`).join('');
  return `${machine.name}: ${machine.description}\n\n${table([['', 'KEY', 'VALUE', 'SOURCE'], ...rows])}\n\n* an assumption${notes}`;
}

/** The value of a key of `sources`. Elements of a list go by their page sizes: tlb.l1d.2M+1G.ways. */
function valueAt(value: unknown, key: string): unknown {
  let at = value;
  for (const name of key.split('.')) {
    if (Array.isArray(at)) at = at.find((one: { readonly sizes?: readonly string[] }) => one.sizes?.join('+') === name) as unknown;
    else at = isTable(at) ? at[name] : undefined;
  }
  return at;
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ');
  return typeof value === 'object' || value === undefined ? '' : String(value as boolean | number | string);
}

/** How a guest can be run. */
export function methodsCommand(options: ListOptions): number {
  if (options.json === true) print(JSON.stringify(METHODS, null, 2));
  else print(table([['METHOD', 'HOW THE GUEST IS RUN'], ...Object.entries(METHODS)]));
  return 0;
}
