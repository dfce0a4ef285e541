/** How a run reads the trace its job names: from a file or a pipe. */
import type { TraceChoice } from '../job.ts';
import type { Batch } from '../stream.ts';
import { readTrace } from './trace-file.ts';

/** Reads `trace` into `take`: see RunSetup. @throws what `take` throws */
export async function readChosenTrace({ file, format }: TraceChoice, take: (batch: Batch) => boolean): Promise<string | null> {
  let mistake: { readonly error: unknown } | null = null; // of ours: not to be taken for one of the trace
  const end = await readTrace({ path: file, ...(format === null ? {} : { format }) }, (batch) => {
    try {
      return take(batch);
    } catch (error) {
      mistake ??= { error };
      return false;
    }
  });
  if (mistake !== null) throw (mistake as { readonly error: unknown }).error;
  return end.failure;
}
