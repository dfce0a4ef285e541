/**
 * What a benchmark suite hands over: what each of its cases counted, which repeats exactly, and how long its calls took.
 * `vkernel lab diff` compares two such records, counters first.
 *
 *   NAME.json   { "name": "vm", "results": [ { "name": "first touch",
 *                                              "counters": { "faults": 512 },
 *                                              "details": { "sampleResults": [0.0012, ...] } } ] }      seconds a call
 */
import { kassert } from '../hostkernel/base/assert.ts';

/** Files to write into bench/results, by name. */
export type Files = ReadonlyMap<string, string>;

/** Numbers that are the same on every run and every machine. */
export type Counters = Readonly<Record<string, number>>;

interface Case {
  readonly name: string;
  readonly counters: Record<string, number>;
  readonly seconds: number[];
}

/** The part of benny's summary that is read here. */
interface Timed {
  readonly results: readonly { readonly name: string; readonly details: { readonly sampleResults: readonly number[] } }[];
}

/** The record of one suite. Cases come in the order in which they are first named. */
export class Suite {
  readonly name: string;
  readonly #cases = new Map<string, Case>();

  constructor(name: string) {
    this.name = name;
  }

  /** What `title` counted. A counter is counted once. */
  counts(title: string, counters: Counters): void {
    const one = this.#case(title);
    for (const [name, value] of Object.entries(counters)) {
      kassert(Number.isFinite(value) && !Object.hasOwn(one.counters, name), `suite ${this.name}: ${title}: ${name}`);
      one.counters[name] = value;
    }
  }

  /** How long calls of `title` took; ms each. */
  times(title: string, milliseconds: readonly number[]): void {
    for (const ms of milliseconds) this.#case(title).seconds.push(ms / 1000);
  }

  /** The times of all cases of a suite of benny. @param prefix where several of its suites have cases of one name */
  timesOf({ results }: Timed, prefix = ''): void {
    for (const { name, details } of results) this.#case(prefix + name).seconds.push(...details.sampleResults);
  }

  /** The record as a file. A suite that has counted nothing has forgotten to: times alone compare with nothing. */
  files(): Files {
    const cases = [...this.#cases.values()];
    kassert(
      cases.some(({ counters }) => Object.keys(counters).length > 0),
      `suite ${this.name}: nothing was counted`,
    );
    const results = cases.map(({ name, counters, seconds }) => ({
      name,
      counters,
      ...(seconds.length === 0 ? {} : { details: { sampleResults: seconds } }),
    }));
    return new Map([[`${this.name}.json`, `${JSON.stringify({ name: this.name, results }, null, 1)}\n`]]);
  }

  #case(name: string): Case {
    let one = this.#cases.get(name);
    if (one === undefined) this.#cases.set(name, (one = { name, counters: {}, seconds: [] }));
    return one;
  }
}
