/**
 * Workloads: the behaviour of programs, made from a name, a seed and parameters. The entry file of this room.
 *
 * The same specification gives the same records in every engine. A workload first maps its arrays (REGION records), then
 * appends accesses until it has made as many as were asked for.
 */
import { BATCH_RECORDS, REGION, REGION_POPULATE, type RecordSource, SWITCH } from '../stream.ts';
import { type Parameter, WORKLOAD_NAMES, WORKLOADS } from './catalogue.ts';
import { mix, type MixPart } from './mix.ts';
import { ALL_RIGHTS, type Pattern, type PatternSetup, ProgramMemory, WorkloadError } from './pattern.ts';
import { Random } from './random.ts';

export { type Parameter, WORKLOAD_NAMES, type WorkloadKind, WORKLOADS } from './catalogue.ts';
export { WorkloadError } from './pattern.ts';

export interface WorkloadSpec {
  readonly name: string;
  readonly seed: number; //     0 .. 2^32 - 1
  readonly accesses: number; // how many, at least 1
  /** Those that differ from the defaults of the catalogue. Of `mix`: parts and turn, and nothing else. */
  readonly params: Readonly<Record<string, number | string>>;
  /** Fill all arrays when they are mapped. */
  readonly populate?: boolean;
}

/** Where a guest's programs may have their data: a layout's user space. */
export interface ProgramSpace {
  readonly end: number; // bytes; 2^53 at most
}

export interface Workload extends RecordSource {
  readonly name: string;
  /** Bytes of all arrays of all programs. */
  readonly footprint: number;
  /** All parameters, defaults included. */
  readonly params: Readonly<Record<string, number | string>>;
}

/** Where data begins in a large address space: far from the guest's other things, as programs have it. */
const BASE = 2 ** 40;
/** Programs of a mix have spaces this far apart: a program may fork. */
const SPACES_APART = 16;
const MIX_DEFAULTS = { parts: 'gups:1,btree:2', turn: 1000 };

/**
 * @throws WorkloadError naming the parameter: an unknown name, a value out of its bounds, a footprint that does not fit
 */
export function workload(spec: WorkloadSpec, programs: ProgramSpace): Workload {
  const { name, seed, accesses } = spec;
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw new WorkloadError(`seed: a whole number from 0 to ${2 ** 32 - 1}`);
  if (!Number.isSafeInteger(accesses) || accesses < 1) throw new WorkloadError('accesses: a whole number, at least 1');
  const made = name === 'mix' ? makeMix(spec, programs) : makeOne(spec, programs);
  return { name, footprint: made.footprint, params: made.params, append: appender(made, accesses, spec.populate === true) };
}

/**
 * All parameters of a workload: `given`, and the defaults of those that are not. Builds nothing.
 * @throws WorkloadError naming the parameter
 */
export function workloadParams(name: string, given: WorkloadSpec['params']): Readonly<Record<string, number | string>> {
  return name === 'mix' ? mixParams(given) : paramsOfOne(name, given);
}

function paramsOfOne(name: string, given: WorkloadSpec['params']): Readonly<Record<string, number | string>> {
  if (!Object.hasOwn(WORKLOADS, name)) throw new WorkloadError(`no workload ${name}; there are ${WORKLOAD_NAMES.join(', ')}`);
  const kinds = WORKLOADS[name].params;
  const strange = Object.keys(given).find((key) => !Object.hasOwn(kinds, key));
  if (strange !== undefined) throw new WorkloadError(`${name} has no parameter ${strange}; it has ${Object.keys(kinds).join(', ')}`);
  return Object.fromEntries(Object.entries(kinds).map(([key, kind]) => [key, checked(name, key, given[key] ?? kind.value, kind)]));
}

function mixParams(given: WorkloadSpec['params']): { readonly parts: string; readonly turn: number } {
  const params: Record<string, number | string> = { ...MIX_DEFAULTS, ...given };
  const strange = Object.keys(params).find((key) => !(key in MIX_DEFAULTS));
  if (strange !== undefined) throw new WorkloadError(`mix has no parameter ${strange}; it has ${Object.keys(MIX_DEFAULTS).join(', ')}`);
  const turn = checked('mix', 'turn', params['turn'], { value: 0, least: 1, most: 1e9, says: '', isWhole: true }) as number;
  return { parts: String(params['parts']), turn };
}

interface Made {
  readonly pattern: Pattern;
  readonly programs: readonly { readonly space: number; readonly memory: ProgramMemory }[];
  readonly footprint: number;
  readonly params: Readonly<Record<string, number | string>>;
}

function makeOne(spec: WorkloadSpec, programs: ProgramSpace): Made {
  const setup = setupOf(spec.name, spec.seed, spec.params, programs, 0);
  const pattern = WORKLOADS[spec.name].make(setup);
  return { pattern, programs: [setup], footprint: setup.memory.bytes, params: setup.params };
}

/** Parts as `name:weight,...`: each gets `turn` operations times its weight, then the next program runs. */
function makeMix(spec: WorkloadSpec, programs: ProgramSpace): Made {
  const params = mixParams(spec.params);
  const { turn } = params;
  const names = params.parts.split(',');
  if (names.length > 64) throw new WorkloadError('mix: at most 64 parts');
  const setups: PatternSetup[] = [];
  const parts: MixPart[] = names.map((part, i) => {
    const [name, weight = '1'] = part.split(':');
    const times = Number(weight);
    if (!Number.isInteger(times) || times < 1 || times > 1e6)
      throw new WorkloadError(`mix: the weight in ${part} is not from 1 to 1000000`);
    const setup = setupOf(name, (spec.seed + i) % 2 ** 32, {}, programs, i * SPACES_APART);
    setups.push(setup);
    return { space: setup.space, pattern: WORKLOADS[name].make(setup), turn: turn * times };
  });
  const footprint = setups.reduce((sum, { memory }) => sum + memory.bytes, 0);
  return { pattern: mix(parts), programs: setups, footprint, params };
}

function setupOf(name: string, seed: number, given: WorkloadSpec['params'], programs: ProgramSpace, space: number): PatternSetup {
  const params = paramsOfOne(name, given);
  const start = programs.end > 4 * BASE ? BASE : Math.ceil(programs.end / 16 / 2 ** 21) * 2 ** 21;
  return { space, memory: new ProgramMemory(start, programs.end), random: new Random(seed), seed, params };
}

function checked(workloadName: string, name: string, value: number | string, kind: Parameter): number | string {
  if ('words' in kind) {
    if (typeof value === 'string' && kind.words.includes(value)) return value;
    throw new WorkloadError(`${workloadName}: ${name} is one of ${kind.words.join(', ')}`);
  }
  const isWithin = typeof value === 'number' && value >= kind.least && value <= kind.most;
  if (isWithin && (kind.isWhole !== true || Number.isInteger(value))) return value;
  throw new WorkloadError(
    `${workloadName}: ${name} is ${kind.isWhole === true ? 'a whole number' : 'a number'} from ${kind.least} to ${kind.most}`,
  );
}

/** Maps the arrays, then runs the pattern until exactly `accesses` have been made. */
function appender(made: Made, accesses: number, populate: boolean): RecordSource['append'] {
  const { pattern, programs } = made;
  let left = accesses;
  let isDeclared = false;
  return (batch) => {
    if (left === 0) return false;
    if (!isDeclared) {
      if (batch.count > 0) return true; // an empty batch has room for everything
      const flags = ALL_RIGHTS | (populate ? REGION_POPULATE : 0);
      for (const { space, memory } of programs) memory.declare(batch, space, flags);
      batch.control(SWITCH, programs[0].space, 0, 0);
      isDeclared = true;
    }
    const last = BATCH_RECORDS - pattern.records;
    const first = batch.count;
    while (batch.count <= last) pattern.step(batch);
    const { kind, count } = batch;
    for (let i = first; i < count; i++) {
      if (kind[i] >= REGION || --left > 0) continue;
      batch.count = i + 1;
      break;
    }
    return left > 0;
  };
}
