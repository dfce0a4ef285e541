/**
 * Jobs over machines: a sweep puts them into a queue in Redis (BullMQ), workers take them out and put results there, the
 * sweep collects these and takes them away.
 *
 *   sweep     add KEY ──> waiting ──> active ──> completed ──> collected: written down, then removed
 *   worker                   ^     take  |  └──> failed ─────> reported, removed
 *                            └───────────┘ it threw, or its worker is silent: again, ATTEMPTS times at most
 *
 * The name of a job in the queue is its key. What two sweeps both want is therefore done once if they want it at the same
 * time; a result that one of them has taken away is put back by the other, and done again. Each sweep tells of each of
 * its jobs once, whatever the workers do. A sweep that dies leaves its results in the queue for the next that asks.
 */
import { type Job as QueuedJob, Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { type Job, jobKey, jobText, readJob } from '../job.ts';
import { readResult, resultText } from '../result.ts';
import { type KeyedJob, type Outcomes, reasonOf, type RunAll } from './pool.ts';

/** The queue's name in Redis: of another form of jobs or results nothing is seen. */
export const QUEUE = 'vkernel-lab-1';
/** A worker that says nothing for so long is dead; what it was at is done again. */
const SILENCE = 30_000; // ms
/** A job that so often threw, or so often lost its worker, has failed. */
const ATTEMPTS = 3;
/** Jobs of one sweep in the queue at a time. */
const MOST_PENDING = 2000;
/** Ends of jobs the server remembers, results and all, for sweeps that have not heard of them yet. */
const MOST_EVENTS = 1000;
/** What nobody collects is forgotten after a week. */
const KEPT = 7 * 24 * 3600; // seconds
/** The server tells when a job ends; should that get lost, we look after so long. */
const LOOK_EVERY = 2000; // ms
/** A lost connection is tried again so often, a second apart. */
const RECONNECTIONS = 30;

/** The queue is out of reach. The message has the address without its password. */
export class QueueError extends Error {
  override readonly name = 'QueueError';
}

/**
 * Runs jobs by what workers are at the queue, however many and wherever.
 * Waits: for workers, without end.
 * @param url `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://` for TLS
 * @throws QueueError
 */
export function queueOf(url: string): RunAll {
  return async (jobs, outcomes, signal) => {
    const line = await Line.open(url);
    const queue = new Queue<unknown, unknown>(QUEUE, { connection: line.redis, streams: { events: { maxLen: MOST_EVENTS } } });
    const [latest] = await line.during(line.redis.xrevrange(queue.toKey('events'), '+', '-', 'COUNT', 1));
    const events = new QueueEvents(QUEUE, { connection: line.redis, lastEventId: latest?.[0] ?? '0' });
    const sweep = new Sweep(queue, outcomes);
    const wake = (): void => sweep.bell.ring();
    queue.on('error', () => {}); // the line says when it is lost
    events.on('error', () => {});
    events.on('completed', ({ jobId }) => sweep.ended(jobId)).on('failed', ({ jobId }) => sweep.ended(jobId));
    signal.addEventListener('abort', wake);
    void line.lost.then(wake);
    try {
      await line.during(events.waitUntilReady());
      await line.during(sweep.run(jobs, () => signal.aborted || line.isLost));
      if (signal.aborted) await line.during(sweep.withdraw());
    } finally {
      signal.removeEventListener('abort', wake);
      await Promise.allSettled([events.close(), queue.close()]);
      line.close();
    }
  };
}

/** The jobs of one sweep that are in the queue. */
class Sweep {
  readonly bell = new Bell();
  readonly #queue: Queue<unknown, unknown>;
  readonly #outcomes: Outcomes;
  readonly #pending = new Map<string, KeyedJob>(); // by name
  #ended: string[] = []; // names to look at

  constructor(queue: Queue<unknown, unknown>, outcomes: Outcomes) {
    this.#queue = queue;
    this.#outcomes = outcomes;
  }

  /** The server says that a job has ended, one of ours or not. */
  ended(name: string): void {
    if (!this.#pending.has(name)) return;
    this.#ended.push(name);
    this.bell.ring();
  }

  /** Keeps the queue filled, and collects, until all jobs have ended. */
  async run(jobs: AsyncIterable<KeyedJob>, isOver: () => boolean): Promise<void> {
    const next = jobs[Symbol.asyncIterator]();
    for (let more = true; !isOver() && (more || this.#pending.size > 0); ) {
      if (more) more = await this.#fill(next);
      for (const name of this.#ended.splice(0)) await this.#collect(name);
      const hasRoom = more && this.#pending.size < MOST_PENDING;
      if (this.#ended.length > 0 || hasRoom || this.#pending.size === 0) continue;
      if (!(await this.bell.wait(LOOK_EVERY))) this.#ended = [...this.#pending.keys()];
    }
  }

  /** Takes what waits for a worker out of the queue again. What a worker is at, it finishes; results stay for the next. */
  async withdraw(): Promise<void> {
    for (const name of this.#pending.keys()) {
      if ((await this.#queue.getJobState(name)) === 'waiting') await this.#queue.remove(name);
    }
  }

  /** Adds jobs while there is room. @returns whether there are more */
  async #fill(next: AsyncIterator<KeyedJob>): Promise<boolean> {
    const fresh: KeyedJob[] = [];
    let more = true;
    while (more && this.#pending.size < MOST_PENDING) {
      const { done, value } = await next.next();
      more = done !== true;
      if (done === true) break;
      const name = nameOf(value.key);
      if (this.#pending.has(name)) continue;
      this.#pending.set(name, value);
      this.#ended.push(name); // it may have ended for somebody who did not collect it
      fresh.push(value);
    }
    await this.#add(fresh);
    return more;
  }

  /** Adds jobs. Those that are in the queue stay as they are. */
  async #add(jobs: readonly KeyedJob[]): Promise<void> {
    const opts = { attempts: ATTEMPTS, removeOnComplete: { age: KEPT }, removeOnFail: { age: KEPT } };
    await this.#queue.addBulk(jobs.map(({ key, job }) => ({ name: 'job', data: job, opts: { ...opts, jobId: nameOf(key) } })));
  }

  /** Looks at a job; if it has ended, tells of it, then takes it away: in this order nothing is lost should we die. */
  async #collect(name: string): Promise<void> {
    const pending = this.#pending.get(name);
    if (pending === undefined) return; // told of already
    const state = await this.#queue.getJobState(name);
    const isEnd = state === 'completed' || state === 'failed';
    const ended = isEnd || state === 'unknown' ? await this.#queue.getJob(name) : undefined;
    // Another sweep wanted it too and has taken it away.
    if ((isEnd || state === 'unknown') && ended === undefined) return this.#add([pending]);
    // Or has put it back since we asked: its end will be told.
    if (ended?.finishedOn === undefined) return;
    this.#pending.delete(name);
    const { key, job } = pending;
    if (state === 'failed') this.#outcomes.failed(key, failureOf(ended.failedReason));
    else if (isResultOf(job, ended.returnvalue)) this.#outcomes.done(key, ended.returnvalue);
    else this.#outcomes.failed(key, 'a worker gave back what is no result of this job');
    await this.#queue.remove(name);
  }
}

/** What BullMQ says of a job that was begun again too often. */
const SILENT_TOO_OFTEN = /stalled more than|started more than/;

function failureOf(reason: string): string {
  return SILENT_TOO_OFTEN.test(reason) ? `each of ${ATTEMPTS} workers died of it or was not heard of again` : reason;
}

/** Whether `value`, which came from another machine, is the text of the job's result. */
function isResultOf(job: Job, value: unknown): value is string {
  if (typeof value !== 'string') return false;
  try {
    const result = readResult(JSON.parse(value));
    return 'schema' in result && resultText(result) === value && jobText(result.job) === jobText(job);
  } catch {
    return false; // not JSON
  }
}

/** Neither a number nor with a colon, as BullMQ wants it. */
function nameOf(key: string): string {
  return `job-${key}`;
}

export interface WorkSetup {
  readonly url: string;
  /** Jobs at a time. */
  readonly workers: number;
  /** Runs them, in other threads than this one, which has to tell the queue that it lives. */
  readonly runAll: RunAll;
  /** Told of what ended here, and how; a job that failed comes back, here or elsewhere. */
  readonly outcomes: Outcomes;
  /** Ends the work when there was nothing to do for so long; ms. */
  readonly patience?: number;
  /** After so long without a word a worker counts as dead; ms. */
  readonly silence?: number;
}

/**
 * Works on what is in the queue, until `signal`: then what was begun is finished first.
 * Waits: for jobs. @throws QueueError
 */
export async function work(setup: WorkSetup, signal: AbortSignal): Promise<void> {
  const { url, workers, runAll, outcomes, patience = Infinity, silence = SILENCE } = setup;
  const line = await Line.open(url);
  const bell = new Bell();
  const wake = (): void => bell.ring();
  const desk = new Desk(outcomes);
  const given = new AbortController();
  const running = runAll(desk.jobs(), desk, given.signal).finally(() => {
    desk.close();
    wake();
  });
  running.catch(() => {}); // awaited at the end
  const worker = new Worker<unknown, string>(QUEUE, async (queued) => workOn(queued, desk), {
    connection: line.redis,
    concurrency: workers,
    lockDuration: silence,
    stalledInterval: silence,
    maxStalledCount: ATTEMPTS - 1,
  });
  worker.on('error', () => {}); // the line says when it is lost
  worker.on('active', wake).on('completed', wake).on('failed', wake);
  signal.addEventListener('abort', wake);
  void line.lost.then(wake);
  try {
    for (let isIdle = false; !desk.isClosed && !signal.aborted && !line.isLost && !isIdle; )
      isIdle = !(await bell.wait(patience)) && desk.isEmpty;
  } finally {
    signal.removeEventListener('abort', wake);
    if (line.isLost) given.abort();
    await worker.close(line.isLost || desk.isClosed);
    desk.close();
    line.close();
  }
  if (line.isLost) throw line.failure();
  await running;
}

/** Runs one job out of the queue; what is in there need not be one. */
async function workOn(queued: QueuedJob<unknown, string>, desk: Desk): Promise<string> {
  const job = readJob(queued.data);
  if (!('schema' in job)) throw new UnrecoverableError(`no job: ${job[0].path}: ${job[0].text}`);
  const key = await jobKey(job);
  if (nameOf(key) !== queued.id) throw new UnrecoverableError('the worker understands this job otherwise: is its program another version?');
  return desk.run({ key, job });
}

/** Jobs on their way from the queue to what runs them, and their outcomes on the way back. */
class Desk implements Outcomes {
  readonly #told: Outcomes;
  readonly #bell = new Bell();
  readonly #incoming: KeyedJob[] = [];
  readonly #open = new Map<string, { readonly text: Promise<string>; end(text: string | Error): void }>(); // by key
  isClosed = false;

  constructor(told: Outcomes) {
    this.#told = told;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Hands a job on. One that is being run here, and was given to another worker meanwhile and back to us, is not run twice. */
  async run(keyed: KeyedJob): Promise<string> {
    const open = this.#open.get(keyed.key);
    if (open !== undefined) return open.text;
    let end: (text: string | Error) => void = () => {};
    const text = new Promise<string>((resolve, reject) => {
      end = (outcome): void => (typeof outcome === 'string' ? resolve(outcome) : reject(outcome));
    });
    this.#open.set(keyed.key, { text, end });
    this.#incoming.push(keyed);
    this.#bell.ring();
    return text;
  }

  async *jobs(): AsyncGenerator<KeyedJob> {
    while (!this.isClosed) {
      const one = this.#incoming.shift();
      if (one === undefined) await this.#bell.wait(Infinity);
      else yield one;
    }
  }

  done(key: string, text: string): void {
    this.#end(key, text);
    this.#told.done(key, text);
  }

  failed(key: string, reason: string): void {
    this.#end(key, new Error(reason));
    this.#told.failed(key, reason);
  }

  close(): void {
    this.isClosed = true;
    this.#bell.ring();
  }

  #end(key: string, outcome: string | Error): void {
    this.#open.get(key)?.end(outcome);
    this.#open.delete(key);
  }
}

/** A connection that does not try for ever. */
class Line {
  readonly redis: Redis;
  /** Fulfilled when it is given up. */
  readonly lost: Promise<void>;
  readonly #address: string;
  #cause = 'no answer';
  #isOpen = false;
  isLost = false;

  private constructor(url: string, address: string) {
    this.#address = address;
    this.redis = new Redis(url, {
      lazyConnect: true,
      maxRetriesPerRequest: null,
      retryStrategy: (times) => (this.#isOpen && times <= RECONNECTIONS ? 1000 : null),
    });
    this.redis.on('error', (error: NodeJS.ErrnoException) => {
      this.#cause = error.message === '' ? (error.code ?? error.name) : error.message;
    });
    this.lost = new Promise((resolve) => {
      this.redis.on('end', () => {
        if (!this.#isOpen) return; // nobody has been answered yet, or we have hung up
        this.isLost = true;
        resolve();
      });
    });
  }

  /** @throws QueueError: not the address of a server, or nobody answers there */
  static async open(url: string): Promise<Line> {
    const line = new Line(url, addressOf(url));
    try {
      await line.redis.connect();
    } catch (error) {
      line.close();
      if (/WRONGPASS|NOAUTH/.test(reasonOf(error))) line.#cause = 'user or password is wrong';
      throw line.failure();
    }
    line.#isOpen = true;
    return line;
  }

  /** Waits for `promise` as long as there is a connection. @throws QueueError, or what the promise throws */
  async during<T>(promise: Promise<T>): Promise<T> {
    const gaveUp = this.lost.then(() => {
      throw this.failure();
    });
    try {
      return await Promise.race([promise, gaveUp]);
    } catch (error) {
      throw this.isLost ? this.failure() : error;
    }
  }

  failure(): QueueError {
    return new QueueError(`${this.#address}: ${this.#cause}`);
  }

  close(): void {
    this.#isOpen = false;
    this.redis.disconnect();
  }
}

/** The address without user and password. @throws QueueError if it is none */
function addressOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '' || !/^(\/\d{0,4})?$/.test(parsed.pathname))
    throw new QueueError('no address of a queue: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]');
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

/** What one waits for and another rings. */
class Bell {
  #hasRung = false;
  #wake: (() => void) | null = null;

  ring(): void {
    this.#hasRung = true;
    this.#wake?.();
  }

  /** Waits for the bell, not longer than `ms`. @returns whether it has rung since the last wait */
  async wait(ms: number): Promise<boolean> {
    if (!this.#hasRung) {
      await new Promise<void>((resolve) => {
        const timer = ms === Infinity ? null : setTimeout(resolve, ms);
        this.#wake = (): void => {
          if (timer !== null) clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    const hasRung = this.#hasRung;
    this.#hasRung = false;
    return hasRung;
  }
}
