/**
 * What does nested paging cost? The laboratory's standard set: all methods over several workloads, page sizes, how often and
 * how much at a time a guest changes its mapping, sizes of the TLB. How fast the model itself is, asks
 * hostkernel/machine/timing.bench.ts.
 *
 * Results are counts and repeat exactly: they are written as a set (lab.json) and as a page (report.html). The processor time of
 * each experiment goes beside them (lab-times.json).
 */
import { canonicalText } from './lab/canonical.ts';
import { type Job, jobText, METHOD_NAMES, readJob } from './lab/job.ts';
import { pageOf } from './lab/report/document.ts';
import { METRICS, NO_VALUE, type Row, rowsOf } from './lab/report/rows.ts';
import { type LabResult, resultSetText } from './lab/result.ts';
import { runTogether } from './lab/run.ts';
import { combinations, parseSetting, parseVariation, type Setting, type Variation, withSettings } from './lab/settings.ts';
import { type Files, Suite } from './suite.ts';

const METHODS = `method=${METHOD_NAMES.join(',')}`;
const CHURN = ['workload=pt-churn', 'footprint=16M', 'warmUp=40000'];

/** What all jobs have in common: guest and host are at work already, and nearly all that is touched for the first time has been. */
const COMMON = ['guest=sv48', 'host=sv48', 'guest.populate=true', 'host.populate=true', 'warmUp=100000', 'accesses=20000'];

/** An experiment: what differs from COMMON, and what is varied, all combinations. */
const EXPERIMENTS: Readonly<Record<string, { readonly fixed: readonly string[]; readonly varied: readonly string[] }>> = {
  'Methods and workloads': { fixed: ['footprint=64M'], varied: ['workload=gups,btree,canneal,kv-zipf,xsbench', METHODS] },
  'Page sizes': { fixed: ['footprint=64M'], varied: ['workload=gups', 'guest-pages=4K,2M', 'host-pages=4K,2M', METHODS] },
  'How often the guest changes its mapping': { fixed: CHURN, varied: ['workload.rate=0.25..256*4', METHODS] },
  'How much it changes at a time': { fixed: [...CHURN, 'workload.rate=1'], varied: ['workload.batch=1..256*4', METHODS] },
  'Entries of the second-level TLB': {
    fixed: ['workload=gups', 'footprint=64M'],
    varied: ['machine.tlb.l2.entries=384..6144*2', 'method=native,nested'],
  },
};

export async function run(): Promise<Files> {
  const times = new Suite('lab-times');
  const sets = new Map<string, readonly LabResult[]>();
  for (const [title, { fixed, varied }] of Object.entries(EXPERIMENTS)) {
    console.log(`  ${title}`);
    const before = process.cpuUsage();
    const results = await resultsOf(jobsOf([...COMMON, ...fixed], varied));
    const { user, system } = process.cpuUsage(before);
    for (const row of rowsOf(results)) console.log(`    ${lineOf(row)}`);
    times.counts(title, totalsOf(results));
    times.times(title, [(user + system) / 1000]);
    sets.set(title, results);
  }
  const all = [...sets.values()].flat();
  return new Map([
    ['lab.json', resultSetText(all)],
    ['report.html', pageOf(sets, 'The cost of nested paging: standard set')],
    ...times.files(),
  ]);
}

/** All combinations, but equal ones once: what is varied of a host changes nothing where there is none. */
function jobsOf(fixed: readonly string[], varied: readonly string[]): readonly Job[] {
  const settings = fixed.map((text) => parseSetting(text) as Setting); // written above, so well formed
  const jobs = combinations(varied.map((text) => parseVariation(text) as Variation)).map((chosen) => {
    const read = readJob(withSettings({}, [...settings, ...chosen]));
    if ('schema' in read) return read;
    throw new Error(read.map(({ path, text }) => `${path}: ${text}`).join('; '));
  });
  return [...new Map(jobs.map((job) => [jobText(job), job])).values()];
}

/** Runs jobs; those of one workload together, so that its accesses are made once. */
async function resultsOf(jobs: readonly Job[]): Promise<readonly LabResult[]> {
  const alike = new Map<string, Job[]>();
  for (const job of jobs) {
    const source = canonicalText([job.workload, job.guest.layout]);
    const others = alike.get(source);
    if (others === undefined) alike.set(source, [job]);
    else others.push(job);
  }
  const results: LabResult[] = [];
  for (const some of alike.values()) results.push(...(await runTogether(some)));
  return results;
}

function totalsOf(results: readonly LabResult[]): Readonly<Record<string, number>> {
  const total = (of: (result: LabResult) => number): number => results.reduce((sum, result) => sum + of(result), 0);
  return {
    jobs: results.length,
    accesses: total(({ counts }) => counts.accesses),
    walks: total(({ counts }) => counts.walks.count),
    references: total(({ counts }) => counts.walks.references),
  };
}

function lineOf({ method, workload, varied, metrics }: Row): string {
  const values = Object.entries(varied).filter(([, value]) => value !== NO_VALUE);
  const shown = (['referencesPerWalk', 'walkFraction', 'cyclesPerAccess'] as const).map(
    (metric) => `${metrics[metric].toFixed(3)} ${METRICS[metric]}`,
  );
  return `${[method, workload, ...values.map(([path, value]) => `${path.replace('workload.params.', '')} ${value}`)].join(', ')}: ${shown.join(', ')}`;
}
