/** `vkernel lab workloads`, `machines`, `methods`: what there is to choose from. */
import { bytesName, METHOD_NAMES, type MethodName } from '../../bench/lab/job.ts';
import { type Parameter, WORKLOAD_NAMES, WORKLOADS, workloadParams } from '../../bench/lab/workloads/index.ts';
import { table } from './layout-drawing.ts';
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

const METHODS: Readonly<Record<MethodName, string>> = {
  native: 'no host: the processor walks the guest’s tables alone',
  nested: 'two-dimensional walks in hardware, through tables of guest and host; three dimensions with two hosts',
  shadow: 'the hypervisor keeps tables that join both, by trapping writes to the guest’s',
  vpagetable: 'a virtual kernel: real tables are a cache of its own, filled by faults, emptied by its calls',
  agile: 'shadow tables for what the guest seldom changes, nested walks below',
};

/** How a guest can be run. */
export function methodsCommand(options: ListOptions): number {
  if (options.json === true) print(JSON.stringify(METHODS, null, 2));
  else print(table([['METHOD', 'HOW THE GUEST IS RUN'], ...METHOD_NAMES.map((name) => [name, METHODS[name]])]));
  return 0;
}
