/**
 * What has to be the same bytes everywhere: the records of every workload, and the names of jobs. Runs in
 * Node and in a browser.
 */
import { type Job, jobKey, readJob } from '../../../bench/lab/job.ts';
import { Batch } from '../../../bench/lab/stream.ts';
import { workload, WORKLOAD_NAMES } from '../../../bench/lab/workloads/index.ts';

const ACCESSES = 3000;

/** Each method, layouts of several families, page sizes, a third dimension, and workloads that differ in what they do to tables. */
const DRAFTS: readonly object[] = [
  { method: 'native', guest: 'sv39', workload: 'gups' },
  { method: 'native', guest: { layout: 'x86-64-4l', pageSizes: 'thp' }, workload: 'kv-zipf' },
  { method: 'nested', guest: 'sv39', hosts: ['sv48'], workload: 'btree' },
  { method: 'nested', guest: { layout: 'sv48', pageSizes: '2M' }, hosts: [{ layout: 'sv48', pageSizes: '4K' }], workload: 'hashjoin' },
  { method: 'nested', guest: 'sv39', hosts: ['sv39', 'sv48'], workload: 'pt-churn' },
];

function jobs(): readonly Job[] {
  return DRAFTS.map((draft, i) => {
    const job = readJob({ accesses: ACCESSES, seed: i + 1, ...draft });
    if ('schema' in job) return job;
    throw new Error(`draft ${i}: ${job[0].path}: ${job[0].text}`);
  });
}

/** A number that depends on every record of a workload. */
function digestOf(name: string): string {
  const source = workload({ name, seed: 7, accesses: ACCESSES, params: {} }, { end: 2 ** 47 });
  const batch = new Batch();
  let digest = 0x811c9dc5; // FNV-1a
  for (let more = true; more; ) {
    batch.count = 0;
    more = source.append(batch);
    for (const column of [batch.kind, batch.flags, batch.bytes, batch.space, batch.offset, batch.page, batch.value, batch.work]) {
      const bytes = new Uint8Array(column.buffer, 0, batch.count * column.BYTES_PER_ELEMENT);
      for (const byte of bytes) digest = Math.imul(digest ^ byte, 0x01000193);
    }
  }
  return (digest >>> 0).toString(16);
}

/** One thing in a line. */
export async function run(): Promise<string> {
  const lines = WORKLOAD_NAMES.map((name) => `${name} ${digestOf(name)}`);
  for (const job of jobs()) lines.push(await jobKey(job));
  return lines.join('\n');
}
