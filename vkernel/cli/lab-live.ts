/**
 * `vkernel lab live PROGRAM`: a program on the booted stack, measured by several methods as it runs. What the program
 * writes goes to standard error; standard output has the measurement.
 */
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { JsonTable } from '../../bench/lab/canonical.ts';
import { LabError } from '../../bench/lab/guest/lab-error.ts';
import { METHOD_NAMES, type MethodName } from '../../bench/lab/job.ts';
import { type Agreement, LiveRun, type LiveResult } from '../../bench/lab/live-run.ts';
import { resultSetText } from '../../bench/lab/result.ts';
import type { Batch } from '../../bench/lab/stream.ts';
import { TRACE_FORMATS } from '../../bench/lab/traces/index.ts';
import { isTable } from '../../hostkernel/base/shape.ts';
import type { StackResult } from '../index.ts';
import { bootProgram } from './boot-program.ts';
import { isSpecial, writeWhole } from './lab-results.ts';
import { comparisonText, conditionsText, partialText } from './lab-table.ts';
import { table } from './layout-drawing.ts';
import { fileValue } from './layout-file.ts';
import { machineOptions, type RawOptions } from './options.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';
import { shellStatus } from './run.ts';

export interface RawLiveOptions extends RawOptions {
  readonly methods: string;
  readonly machine?: string;
  readonly record?: string;
  readonly out?: string;
  readonly json?: boolean;
}

export async function liveCommand(path: string, args: readonly string[], raw: RawLiveOptions): Promise<number> {
  const methods = methodsOf(raw.methods);
  if (typeof methods === 'string') return complain(methods, EXIT_USAGE);
  const modelled = await modelledMachine(raw.machine);
  if (typeof modelled === 'string') return complain(modelled, EXIT_USAGE);
  const { methods: _methods, machine: _machine, record, out, json, ...machineFlags } = raw;
  const options = await machineOptions(machineFlags);
  if (typeof options === 'string') return complain(options, EXIT_USAGE);
  const trace = record === undefined ? null : TraceFile.open(record);
  if (typeof trace === 'string') return complain(`--record: ${trace}`, EXIT_FAILURE);
  let run: LiveRun | null = null;
  let stack: StackResult | number;
  try {
    stack = bootProgram(path, args, options, {
      probe: { physmem: null },
      watch: (machine, xlen, formats) => {
        run = new LiveRun({
          program: path,
          methods,
          machine,
          modelled,
          mmu: formats[`mmu${xlen}`],
          vpte: formats[`vpte${xlen}`],
          ...(trace === null ? {} : { record: (batch: Batch) => trace.write(batch) }),
        });
        return run.recorder;
      },
    });
  } catch (error) {
    trace?.drop();
    if (error instanceof LabError) return complain(error.message, EXIT_USAGE);
    throw error;
  }
  const made = run as LiveRun | null;
  if (typeof stack === 'number' || made === null) {
    trace?.drop();
    return typeof stack === 'number' ? stack : EXIT_FAILURE;
  }
  const result = made.finish(stack);
  const kept = trace === null ? null : trace.keep();
  if (kept !== null) return complain(`--record: ${kept}`, EXIT_FAILURE);
  if (out !== undefined) {
    const status = writeWhole(out, resultSetText(result.results));
    if (status !== 0) return status;
  }
  const status = shellStatus(path, stack);
  if (json === true) print(JSON.stringify({ program: path, status, instructions: stack.stats.instructions, ...result }, null, 2));
  else print(textOf(stack, made, result));
  return statusOf(result);
}

/** The methods of a list. @returns them, or one line that says which there is not */
function methodsOf(list: string): readonly MethodName[] | string {
  const methods: MethodName[] = [];
  for (const name of list.split(',')) {
    const method = METHOD_NAMES.find((known) => known === name);
    if (method === undefined) return `--methods: no '${name}'; there are ${METHOD_NAMES.join(', ')}`;
    methods.push(method);
  }
  return methods;
}

/** The machine of the methods, as a job has it. @returns it, or one line that says what is wrong */
async function modelledMachine(name: string | undefined): Promise<JsonTable | string> {
  if (name === undefined) return {};
  if (!/[/\\]|\.(toml|json)$/i.test(name)) return { extends: name };
  const file = await fileValue(name);
  if ('problem' in file) return `--machine: ${name}: ${file.problem}`;
  return isTable(file.value) ? (file.value as JsonTable) : `--machine: ${name}: no table of a machine`;
}

/** A disagreement or a partial result fails the command; how the program ended does not. */
function statusOf({ results, agreements }: LiveResult): number {
  const lines = partialText(results);
  for (const line of lines) complain(line, 0);
  return lines.length > 0 || agreements.some(({ isEqual }) => !isEqual) ? EXIT_FAILURE : 0;
}

const whole = (count: number): string => count.toLocaleString('en');

function textOf(stack: StackResult, { recorder }: LiveRun, { results, agreements }: LiveResult): string {
  if (results.length === 0) return 'no hart ran: there is nothing to measure';
  const { spaces } = recorder.counts;
  const head = `${conditionsText(results)}; ${whole(stack.stats.instructions)} instructions in ${spaces} ${spaces === 1 ? 'space' : 'spaces'}`;
  return [head, comparisonText(results), ...(agreements.length === 0 ? [] : [agreementText(agreements)])].join('\n\n');
}

function agreementText(agreements: readonly Agreement[]): string {
  const rows = agreements.map(({ what, stack, model, isEqual }) => [
    `  ${what}`,
    whole(stack),
    whole(model),
    isEqual ? 'equal' : 'NOT EQUAL',
  ]);
  return table([['VPAGETABLE, GUEST SPACES ONLY', 'THE STACK', 'THE MODEL', ''], ...rows]);
}

/** A trace that is there as a whole or not at all. What goes wrong is told at the end: kernels are running until then. */
class TraceFile {
  readonly #path: string;
  readonly #unfinished: string;
  readonly #fd: number;
  readonly #writer = (TRACE_FORMATS['vktrace'] as (typeof TRACE_FORMATS)[string]).write((bytes) => this.#put(bytes));
  #problem: string | null = null;

  private constructor(path: string, unfinished: string, fd: number) {
    this.#path = path;
    this.#unfinished = unfinished;
    this.#fd = fd;
  }

  /** @returns the file, or why it cannot be made */
  static open(path: string): TraceFile | string {
    try {
      const unfinished = isSpecial(path) ? path : `${path}.${process.pid}.tmp`;
      return new TraceFile(path, unfinished, openSync(unfinished, 'w'));
    } catch (error) {
      return `${path}: ${codeOf(error)}`;
    }
  }

  write(batch: Batch): void {
    if (this.#problem === null) this.#writer.write(batch);
  }

  /** Gives the finished file its name. @returns null, or what went wrong */
  keep(): string | null {
    if (this.#problem === null) this.#writer.end();
    try {
      closeSync(this.#fd);
      if (this.#problem === null && this.#unfinished !== this.#path) renameSync(this.#unfinished, this.#path);
    } catch (error) {
      this.#problem ??= codeOf(error);
    }
    if (this.#problem === null) return null;
    this.#remove();
    return `${this.#path}: ${this.#problem}`;
  }

  drop(): void {
    closeSync(this.#fd);
    this.#remove();
  }

  #remove(): void {
    if (this.#unfinished !== this.#path) rmSync(this.#unfinished, { force: true });
  }

  #put(bytes: Uint8Array): void {
    if (this.#problem !== null) return;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      this.#problem = codeOf(error);
    }
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
