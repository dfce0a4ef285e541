/**
 * What has to be the same bytes everywhere: the records of every workload, the names of jobs, and their results. Runs in
 * Node and in a browser.
 */
import { type Job, jobKey, readJob } from '../../../bench/lab/job.ts';
import { resultText } from '../../../bench/lab/result.ts';
import { runJob } from '../../../bench/lab/run.ts';
import { Batch } from '../../../bench/lab/stream.ts';
import { workload, WORKLOAD_NAMES } from '../../../bench/lab/workloads/index.ts';

const ACCESSES = 1000;

const SMALL = { memoryBytes: '2G', tableBase: '64M', dataBase: '1G' }; // quick to set up
const side = (layout: string, more: object = {}): object => ({ layout, ...SMALL, ...more });

/** Each method, layouts of several families, page sizes, machines, a third dimension, and workloads that differ in what they do to tables. */
const DRAFTS: readonly object[] = [
  { method: 'native', guest: side('sv39'), workload: { name: 'gups', params: { footprint: 2 ** 26 } } },
  { method: 'native', guest: side('x86-64-4l', { pageSizes: 'thp' }), workload: 'kv-zipf', machine: 'zen2' },
  { method: 'native', guest: side('vpte-64'), workload: 'mix' },
  { method: 'nested', guest: side('sv39'), hosts: [side('sv48')], workload: 'btree' },
  {
    method: 'nested',
    guest: side('sv48', { pageSizes: '2M' }),
    hosts: [side('x86-64-5l', { placement: 'scattered' })],
    workload: 'hashjoin',
  },
  { method: 'nested', guest: side('sv32'), hosts: [side('ept-4l')], workload: 'bfs', machine: 'champsim-default' },
  { method: 'nested', guest: side('sv39'), hosts: [side('sv39'), side('sv48')], workload: 'pt-churn', machine: 'u54' },
  { method: 'shadow', guest: side('i386-2l'), hosts: [side('x86-64-4l')], workload: 'pt-churn' },
  { method: 'vpagetable', guest: side('vpte-64'), hosts: [side('sv48')], workload: 'pt-churn' },
  { method: 'agile', guest: side('sv48'), hosts: [side('sv48')], workload: 'pt-churn' },
];

/** The jobs that are run everywhere. */
export function jobs(): readonly Job[] {
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

/** The line of a job. */
export function lineOf(key: string, text: string): string {
  return `${key} ${text}`;
}

/** One thing in a line. */
export async function run(): Promise<string> {
  const lines = WORKLOAD_NAMES.map((name) => `${name} ${digestOf(name)}`);
  for (const job of jobs()) lines.push(lineOf(await jobKey(job), resultText(await runJob(job))));
  return lines.join('\n');
}
