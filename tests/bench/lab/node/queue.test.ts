/**
 * Sweeps over Redis: whatever the workers do, each job is told of once. Needs redis-server (npm run tools); without it
 * the tests do not run, and say so.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Queue, Worker } from 'bullmq';
import { build } from 'esbuild';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KeyedJob, RunAll } from '../../../../bench/lab/node/pool.ts';
import { QUEUE, QueueError, queueOf, work } from '../../../../bench/lab/node/queue.ts';
import { isHere, REDIS } from '../../../tools/find.ts';
import { type RedisServer, startRedis } from '../../../tools/redis.ts';
import { jobsOf, resultOf } from './queue-jobs.ts';

/** What a sweep was told, in the order of time. */
class Told {
  readonly results = new Map<string, string[]>(); // by key
  readonly failures = new Map<string, string[]>();

  done(key: string, text: string): void {
    this.results.set(key, [...(this.results.get(key) ?? []), text]);
  }

  failed(key: string, reason: string): void {
    this.failures.set(key, [...(this.failures.get(key) ?? []), reason]);
  }
}

async function listOf(jobs: AsyncIterable<KeyedJob>): Promise<KeyedJob[]> {
  const list: KeyedJob[] = [];
  for await (const one of jobs) list.push(one);
  return list;
}

async function* from(jobs: readonly KeyedJob[]): AsyncGenerator<KeyedJob> {
  yield* jobs;
}

const never = new AbortController().signal;
const SOON = { interval: 20, timeout: 30_000 };
const NOBODY = { done: (): void => {}, failed: (): void => {} };

test.each(['', 'nonsense', 'http://localhost', 'redis:', 'redis://', 'redis://host/x', 'redis://host:99999'])(
  'the address %j is refused',
  async (url) => {
    await expect(queueOf(url)(jobsOf(1), new Told(), never)).rejects.toThrow(/no address of a queue/);
  },
);

test('where nobody listens one is told so, without the password', async () => {
  const gone = queueOf('redis://me:secret@127.0.0.1:1/3')(jobsOf(1), new Told(), never);
  await expect(gone).rejects.toThrow(QueueError);
  await expect(gone).rejects.toThrow(/^redis:\/\/127\.0\.0\.1:1\/3: .*ECONNREFUSED/);
  await expect(gone).rejects.not.toThrow(/secret/);
});

describe.runIf(isHere(REDIS, 'sweeps over Redis'))('a sweep over Redis', () => {
  let folder: string;
  let program: string;
  let server: RedisServer;
  let redis: Redis;
  let queue: Queue;
  const workers: ChildProcess[] = [];
  const local: { readonly stop: AbortController; readonly ended: Promise<void> }[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vkernel-queue-'));
    program = join(folder, 'queue-worker.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL('queue-worker.ts', import.meta.url))],
      outfile: program,
      bundle: true, // starts in a quarter of the time that the sources need
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
      // Packages that were written for require() find it.
      banner: { js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);" },
    });
    server = await startRedis(REDIS.path as string);
    redis = new Redis(server.url, { maxRetriesPerRequest: null });
    queue = new Queue(QUEUE, { connection: redis });
  });
  beforeEach(async () => {
    await redis.flushall();
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) worker.kill('SIGKILL');
    for (const { stop, ended } of local.splice(0)) {
      stop.abort();
      await ended;
    }
  });
  afterAll(async () => {
    await queue.close();
    redis.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  function startProcess(poison: number, hang: number): ChildProcessByStdio<Writable, Readable, null> {
    const args = [program, server.url, '1000', String(poison), String(hang)];
    const worker = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    workers.push(worker);
    return worker;
  }

  /** A worker in this process. */
  function startHere(runAll: RunAll, silence = 1000): void {
    const stop = new AbortController();
    local.push({ stop, ended: work({ url: server.url, workers: 2, runAll, outcomes: NOBODY, silence }, stop.signal) });
  }

  const honest: RunAll = async (jobs, outcomes) => {
    for await (const { key, job } of jobs) outcomes.done(key, resultOf(job));
  };

  /** Each job's result is there once, and nothing else. */
  function expectEachOnce(told: Told, jobs: readonly KeyedJob[]): void {
    expect(told.results).toEqual(new Map(jobs.map(({ key, job }) => [key, [resultOf(job)]])));
  }

  test('has every result once when a worker is killed at work, and tells of a poisoned job', async () => {
    const jobs = await listOf(jobsOf(40));
    const [poison, hang] = [13, 25];
    const told = new Told();
    const [victim, survivor] = [startProcess(poison, hang), startProcess(poison, 0)];
    const sweep = queueOf(server.url)(from(jobs), told, never);
    victim.stdin.end('begin');
    await once(victim.stdout, 'data'); // it is at the job 25
    survivor.stdin.end('begin');
    victim.kill('SIGKILL');
    await sweep;
    expectEachOnce(
      told,
      jobs.filter(({ job }) => job.seed !== poison),
    );
    expect([...told.failures]).toEqual([[jobs[poison - 1].key, ['this one is poisoned']]]);
    expect(await redis.keys('*:job-*')).toEqual([]); // nothing of it stays in the queue
  });

  test('does nothing twice that it, or another one, has in the queue', async () => {
    const jobs = await listOf(jobsOf(20));
    const ran: string[] = [];
    const [one, two] = [new Told(), new Told()];
    const sweeps = [one, two].map(async (told) => queueOf(server.url)(from([...jobs, ...jobs]), told, never));
    await expect.poll(async () => queue.getWaitingCount(), SOON).toBe(20);
    startHere(async (given, outcomes) => {
      for await (const { key, job } of given) {
        ran.push(key);
        outcomes.done(key, resultOf(job));
      }
    });
    await Promise.all(sweeps);
    for (const told of [one, two]) expectEachOnce(told, jobs);
    expect(new Set(ran).size).toBe(20);
  });

  test('that died before it collected leaves its results to the next', async () => {
    const jobs = await listOf(jobsOf(3));
    await queue.addBulk(jobs.map(({ key, job }) => ({ name: 'job', data: job, opts: { jobId: `job-${key}` } })));
    startHere(honest);
    await expect.poll(async () => queue.getCompletedCount(), SOON).toBe(3);
    await stopAll();
    const told = new Told();
    await queueOf(server.url)(from(jobs), told, never); // nobody works any more
    expectEachOnce(told, jobs);
  });

  async function stopAll(): Promise<void> {
    for (const { stop, ended } of local.splice(0)) {
      stop.abort();
      await ended;
    }
  }

  test('gives a job up that has cost three workers', async () => {
    const jobs = await listOf(jobsOf(1));
    const told = new Told();
    const sweep = queueOf(server.url)(from(jobs), told, never);
    // A worker that takes a job and is never heard of again, three times.
    const dying = new Worker(QUEUE, null, { connection: redis, lockDuration: 50, stalledInterval: 50, maxStalledCount: 2 });
    await dying.startStalledCheckTimer();
    for (let death = 0; death < 3; death++) {
      await expect.poll(async () => (await dying.getNextJob(`death ${death}`, { block: false }))?.id, SOON).toBeDefined();
    }
    await expect.poll(async () => queue.getWaitingCount(), SOON).toBe(1);
    await dying.close();
    const ran: string[] = [];
    startHere(async (given, outcomes) => {
      for await (const { key, job } of given) {
        ran.push(key);
        outcomes.done(key, resultOf(job));
      }
    });
    await sweep;
    expect([...told.failures.values()].flat()).toEqual(['each of 3 workers died of it or was not heard of again']);
    expect([ran, told.results.size]).toEqual([[], 0]);
  });

  test('that is ended takes back what waits, and lets what was begun be finished', async () => {
    const jobs = await listOf(jobsOf(5));
    const told = new Told();
    const stop = new AbortController();
    const sweep = queueOf(server.url)(from(jobs), told, stop.signal);
    await expect.poll(async () => queue.getWaitingCount(), SOON).toBe(5);
    stop.abort();
    await sweep;
    expect([await queue.getWaitingCount(), told.results.size, told.failures.size]).toEqual([0, 0, 0]);
  });

  test('believes no result that is not one of its job', async () => {
    const jobs = await listOf(jobsOf(4));
    const wrong: readonly unknown[] = [undefined, 'no JSON', resultOf(jobs[0].job), resultOf(jobs[3].job).replace('{', '{ ')];
    await queue.addBulk(jobs.map(({ key, job }) => ({ name: 'job', data: job, opts: { jobId: `job-${key}` } })));
    const liar = new Worker(QUEUE, async (queued: { readonly data: { readonly seed: number } }) => wrong[queued.data.seed - 1], {
      connection: redis,
    });
    const told = new Told();
    await queueOf(server.url)(from(jobs), told, never);
    await liar.close();
    expect(told.results.size).toBe(0);
    expect([...told.failures.values()]).toEqual(jobs.map(() => ['a worker gave back what is no result of this job']));
  });

  test('is not harmed by what else is in the queue, nor are its workers', async () => {
    const jobs = await listOf(jobsOf(2));
    const strange: readonly unknown[] = [null, 7, 'job', [], {}, { method: 'native' }, { ...jobs[0].job, seed: -1 }];
    await queue.addBulk(strange.map((data, i) => ({ name: 'job', data, opts: { jobId: `job-strange-${i}`, attempts: 3 } })));
    await queue.add('job', jobs[0].job, { jobId: `job-${jobs[1].key}x` }); // a job under a strange name
    startHere(honest);
    const told = new Told();
    await queueOf(server.url)(from(jobs), told, never);
    expectEachOnce(told, jobs);
    await expect.poll(async () => queue.getFailedCount(), SOON).toBe(strange.length + 1);
    const failed = await queue.getFailed();
    expect(failed.map(({ failedReason }) => failedReason)).toEqual(
      failed.map(() => expect.stringMatching(/^no job: |understands this job otherwise/)),
    );
    expect(failed.map(({ attemptsMade }) => attemptsMade)).toEqual(failed.map(() => 1));
  });

  test('has workers that end when there was nothing to do for as long as they were told', async () => {
    const ended = work({ url: server.url, workers: 1, runAll: honest, outcomes: NOBODY, patience: 100 }, never);
    await expect(ended).resolves.toBeUndefined();
  });
});
