/** `vkernel lab shapes`: published results beside ours, row by row, with a verdict. */
import { type Job, jobText, parseBytes } from '../../bench/lab/job.ts';
import { type ShapeRow, shapesAt } from '../../bench/lab/report/shapes.ts';
import type { LabResult } from '../../bench/lab/result.ts';
import { runJob } from '../../bench/lab/run.ts';
import { table } from './layout-drawing.ts';
import { Progress } from './lab-progress.ts';
import { complain, EXIT_FAILURE, EXIT_USAGE, print } from './report.ts';

export interface RawShapesOptions {
  readonly only?: string;
  readonly accesses: string;
  readonly warmUp: string;
  readonly footprint?: string;
  readonly json?: boolean;
}

/** @returns exit status: 0 if every shape holds, 1 if one does not */
export async function shapesCommand(raw: RawShapesOptions): Promise<number> {
  const [accesses, warmUp] = [Number(raw.accesses), Number(raw.warmUp)];
  if (!Number.isSafeInteger(accesses) || accesses < 1)
    return complain(`--accesses: ${raw.accesses} is no whole number of 1 or more`, EXIT_USAGE);
  if (!Number.isSafeInteger(warmUp) || warmUp < 0) return complain(`--warm-up: ${raw.warmUp} is no whole number of 0 or more`, EXIT_USAGE);
  const footprint = raw.footprint === undefined ? null : parseBytes(raw.footprint);
  if (footprint === null && raw.footprint !== undefined) return complain(`--footprint: ${raw.footprint} is no size: 64M, 1G`, EXIT_USAGE);
  const all = shapesAt({ accesses, warmUp, footprint });
  const names = raw.only?.split(',') ?? all.map(({ name }) => name);
  const strange = names.find((name) => !all.some((shape) => shape.name === name));
  if (strange !== undefined)
    return complain(`--only: no shape ${strange}; there are ${all.map(({ name }) => name).join(', ')}`, EXIT_USAGE);

  const done = new Map<string, Promise<LabResult>>(); // shapes share jobs
  const run = async (job: Job): Promise<LabResult> => {
    const text = jobText(job);
    const result = done.get(text) ?? runJob(job);
    done.set(text, result);
    return result;
  };
  const judged: { readonly name: string; readonly title: string; readonly rows: readonly ShapeRow[] }[] = [];
  const wanted = all.filter((shape) => names.includes(shape.name));
  const progress = new Progress('shapes', wanted.length);
  for (const { name, title, rows } of wanted) {
    judged.push({ name, title, rows: await rows(run) });
    progress.at(judged.length);
  }
  progress.end();
  if (raw.json !== true) for (const shape of judged) print(shapeText(shape));
  if (raw.json === true) print(JSON.stringify(judged, null, 2));
  const failed = judged.flatMap(({ rows }) => rows).filter(({ holds }) => !holds).length;
  if (raw.json !== true) print(failed === 0 ? 'every shape holds' : `${failed} rows do not hold`);
  return failed === 0 ? 0 : EXIT_FAILURE;
}

function shapeText({ name, title, rows }: { readonly name: string; readonly title: string; readonly rows: readonly ShapeRow[] }): string {
  const lines = rows.map(({ what, published, source, ours, holds }) => [holds ? 'holds' : 'NO', what, ours, published, source]);
  return `\n${name}. ${title}\n${table([['', 'WHAT', 'OURS', 'PUBLISHED', 'BY WHOM'], ...lines])}\n`;
}
