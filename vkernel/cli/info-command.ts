/** `vkernel info physmem`: who holds the guest's memory, in which frames. Of a run (--run), or of a crash dump (--dump). */
import { readFileSync } from 'node:fs';
import type { GuestView, PhysmemCensus, StackProbe } from '../index.ts';
import { bootProgram } from './boot-program.ts';
import { type CrashDump, DUMP_FORMAT } from './crash.ts';
import { censusText } from './info-text.ts';
import type { MachineOptions } from './options.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

/** What commander hands over. */
export interface RawInfoOptions {
  readonly run?: string;
  readonly at?: string;
  readonly dump?: string;
  readonly json?: boolean;
}

export function infoPhysmem(args: readonly string[], raw: RawInfoOptions, options: MachineOptions): number {
  if ((raw.run === undefined) === (raw.dump === undefined))
    return complain('info: of a run (--run PROGRAM) or of a crash dump (--dump FILE)?', EXIT_USAGE);
  if (raw.dump !== undefined) {
    if (raw.at !== undefined || args.length > 0) return complain('info: --at and arguments go with --run', EXIT_USAGE);
    return showDump(raw.dump, raw.json === true);
  }
  const at = raw.at === undefined ? null : Number(raw.at);
  if (at !== null && !(Number.isSafeInteger(at) && at > 0)) return complain(`--at: '${raw.at}' is no number of instructions`, EXIT_USAGE);
  return showRun(raw.run as string, args, at, raw.json === true, options);
}

function show(title: string, census: PhysmemCensus, json: boolean): number {
  print(json ? JSON.stringify(census, null, 2) : `${title}\n\n${censusText(census)}`);
  return 0;
}

function showRun(path: string, args: readonly string[], at: number | null, json: boolean, options: MachineOptions): number {
  const seen: { census: PhysmemCensus; instructions: number }[] = [];
  const probe: StackProbe = { physmem: null };
  const look = ({ instructions }: GuestView): void => {
    if (probe.physmem !== null) seen.push({ census: probe.physmem(), instructions });
  };
  const result = bootProgram(path, args, options, { probe, inspect: () => ({ at, look }) });
  if (typeof result === 'number') return result;
  const [found] = seen;
  if (found === undefined) {
    const { instructions } = result.stats;
    return complain(at === null ? 'the guest never ran' : `the guest ended before ${at} instructions, after ${instructions}`, EXIT_FAILURE);
  }
  return show(`physmem after ${found.instructions} instructions of ${path}`, found.census, json);
}

function showDump(file: string, json: boolean): number {
  const dump = readDump(file);
  if (typeof dump === 'string') return complain(dump, EXIT_USAGE);
  const { physmem, panic } = dump;
  if (physmem === null) return complain(`${file}: physmem was not up when the system panicked: ${panic}`, EXIT_FAILURE);
  if (typeof physmem === 'string') return complain(`${file}: physmem ${physmem}`, EXIT_FAILURE);
  return show(`physmem when the system panicked: ${panic}`, physmem, json);
}

/** @returns the dump, or one line that says why the file is none */
function readDump(file: string): CrashDump | string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return `--dump: ${file}: ${error instanceof Error ? error.message : String(error)}`;
  }
  try {
    const dump = JSON.parse(text) as Partial<CrashDump> | null;
    if (dump?.format === DUMP_FORMAT) return dump as CrashDump; // we wrote it
  } catch {
    return `--dump: ${file} is no crash dump: not JSON`;
  }
  return `--dump: ${file} is no crash dump of this version: it does not say '${DUMP_FORMAT}'`;
}
