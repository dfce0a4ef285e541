/**
 * The memory policy server: decides how many pages each principal is guaranteed, and makes contracts about it.
 *
 *   tasks --negotiate--> contracts.ts --numbers--> policy buffer (buffer.ts) <--reads-- physmem
 *         <--notices---                                                      --allocated, live-->
 *
 * physmem never waits for this server: it reads numbers out of memory that both see, and keeps to the last good ones.
 * A server thread, and a pager thread for the buffer. A principal that never negotiated keeps the guarantee its starter
 * split off for it; the rest of the memory is divided among those who have contracts.
 * Not here: what is just (fixed.ts, weight.ts), and when it comes into force (contracts.ts).
 * Source: hurd-l4 design document, memory policy server.
 */
import { ECAP_DIED, EINVAL, ENOMEM, EPERM, ESRCH } from '../../hostkernel/base/errno.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import { HANDLES_32, HANDLES_64, ObjectTable } from '../cap/objects.ts';
import { type Call, callText, Dispatcher, type Handlers, invoke } from '../cap/rpc.ts';
import { startup } from '../cap/startup.ts';
import {
  ACCEPT_UNTYPED,
  ANY,
  isVersion,
  type L4,
  type L4Body,
  type L4Wait,
  NEVER,
  NIL,
  taskOf,
  type ThreadId,
  timeout,
  XR_PAGER,
  ZERO,
} from '../l4/user.ts';
import {
  HEADER_OVERCOMMIT,
  HEADER_PAGES,
  HEADER_POLICY,
  HEADER_SERVER,
  headerPolicyWord,
  MAX_SWAP_QUOTA,
  PHYSMEM,
  POLICY_EXTRA,
  policyWord,
  ROW_ALLOCATED,
  ROW_GUARANTEED,
  ROW_POLICY,
  ROW_SERVER,
  SERVER_LIVE,
  swapQuotaOf,
} from '../physmem/interface.ts';
import { WORTEL, withCapability } from '../wortel/interface.ts';
import { BUFFER_BASE, type PolicyMemory, policyPager, PolicyView } from './buffer.ts';
import { type Contract, Contracts, type Standing } from './contracts.ts';
import { type MemoryPolicy, type Quotas, withQuotas } from './division.ts';
import { MEMORY_POLICY, MEMORY_POLICY_NOTICE, NO_TIME, SWAP_AS_BEFORE } from './interface.ts';

export interface PolicyOptions {
  readonly policy: MemoryPolicy;
  /** Pages all tasks of a user may be guaranteed together; absent: as many as there are. */
  readonly quotas?: Quotas;
  /** Microseconds a task has to write pages out before its guarantee is lowered. Default 50,000. */
  readonly reductionTime?: number;
  /** Longest term of a contract, microseconds. Default ten seconds. */
  readonly longestTerm?: number;
  /** Pages an expired contract still guarantees. Default 0. */
  readonly floor?: number;
  /** Pages no contract may promise: what the root task uses itself, and gives away without asking. Default 64. */
  readonly reserve?: number;
  /** Pages a principal may keep in swap, until `assign` says otherwise. Default: as many as there is room for. */
  readonly swapPages?: number;
  /** Whose task may say how others stand, and replace this server. */
  readonly rootTask: number;
  readonly tracer: Tracer;
  readonly log: (who: string, text: string) => void;
}

/** A task of the boot, and the pages it is guaranteed on top of those it has. */
export interface BootGuarantee {
  readonly task: number;
  readonly pages: number;
}

const REDUCTION_TIME = 50_000;
const LONGEST_TERM = 10_000_000;
const RESERVE = 64; // pages

/** The program of the policy server of a boot. @param guarantees of the other boot tasks, and its own */
export function policyServer(options: PolicyOptions, guarantees: readonly BootGuarantee[]): L4Body {
  return function* main(l4) {
    const data = yield* startup(l4);
    if (typeof data === 'string') return options.log('policy', data);
    const memory: PolicyMemory = { physmem: data.physmem, startupContainer: data.startupContainer, policy: 0 };
    const server = new PolicyServer(l4, memory, options);
    const calls = withCapability(WORTEL, data.wortelCapability);
    const failure = yield* server.takeCharge(data.pager, guarantees);
    if (failure !== null) {
      options.log('policy', failure);
      yield* invoke(l4, data.wortel, calls.shutdown, 1);
      return undefined;
    }
    const label = yield* invoke(l4, data.wortel, calls.bootstrapFinal);
    if (label !== 0) options.log('policy', callText(WORTEL.bootstrapFinal, label));
    return label === 0 ? server.serve() : undefined;
  };
}

/** What a successor is told by who starts it. */
export interface Inheritance {
  readonly physmem: ThreadId;
  readonly pager: ThreadId; // an active thread of the successor's task without program
  readonly policy: number; //  its handle of the policy capability
}

/** The program of a server that takes over from another, on a running system. It begins with the numbers it finds. */
export function policySuccessor(options: PolicyOptions, { physmem, pager, policy }: Inheritance): L4Body {
  return function* main(l4) {
    const server = new PolicyServer(l4, { physmem, startupContainer: 0, policy }, options);
    const failure = yield* server.takeCharge(pager, []);
    if (failure !== null) return options.log('policy', failure);
    return server.serve();
  };
}

/** What the buffer and the task last heard of a contract. */
interface Published {
  guaranteed: number; // in the buffer
  extra: boolean;
  told: { guaranteed: number; target: number; due: number };
  thread: ThreadId; // which is told; NIL: none
}

class PolicyServer {
  readonly #l4: L4;
  readonly #memory: PolicyMemory;
  readonly #options: PolicyOptions;
  readonly #view: PolicyView;
  readonly #contracts: Contracts;
  readonly #published = new Map<number, Published>(); // by task: those with a contract
  #commits = 0;
  #retired = false; // another server has taken over

  constructor(l4: L4, memory: PolicyMemory, options: PolicyOptions) {
    const { policy, quotas } = options;
    this.#l4 = l4;
    this.#memory = memory;
    this.#options = options;
    this.#view = new PolicyView(l4);
    this.#contracts = new Contracts({
      policy: quotas === undefined ? policy : withQuotas(policy, quotas),
      reductionTime: options.reductionTime ?? REDUCTION_TIME,
      longestTerm: options.longestTerm ?? LONGEST_TERM,
      floor: options.floor ?? 0,
    });
  }

  /**
   * Starts the pager, claims the policy capability where it has not been handed over, and makes the first commit: tasks
   * of the boot are guaranteed what they have and what the boot script says.
   * @returns null, or one line that says what failed. Waits: for physmem.
   */
  *takeCharge(pager: ThreadId, guarantees: readonly BootGuarantee[]): Generator<L4Wait, string | null> {
    const l4 = this.#l4;
    const memory = this.#memory;
    const started = l4.startBody(pager, (thread) => policyPager(thread, memory));
    if (started !== 1 || l4.exchangeRegisters(l4.id, XR_PAGER, 0, 0, 0, 0, pager) === null) return `no pager: code ${l4.error}`;
    if (memory.policy === 0) {
      const label = yield* invoke(l4, memory.physmem, PHYSMEM.getControl);
      if (label !== 0) return callText(PHYSMEM.getControl, label);
      memory.policy = l4.message.word(1);
    }
    const { policy, swapPages = MAX_SWAP_QUOTA } = this.#options;
    const view = this.#view;
    const rows = yield* view.rows();
    let tasks = 0;
    for (let task = 1; task < rows; task += 1) {
      if (((yield* view.load(task, ROW_SERVER)) & SERVER_LIVE) === 0) continue;
      tasks += 1;
      const boot = guarantees.find((each) => each.task === task);
      if (boot === undefined) continue;
      yield* view.store(task, ROW_GUARANTEED, (yield* view.load(task, ROW_ALLOCATED)) + boot.pages);
      yield* view.store(task, ROW_POLICY, policyWord(true, swapPages));
    }
    yield* view.store(0, HEADER_POLICY, headerPolicyWord(policy.isMild, true, swapPages));
    this.#commits = yield* view.commits();
    yield* this.#commit();
    const pages = yield* view.load(0, HEADER_PAGES);
    if (view.lost) return 'physmem does not map the policy buffer';
    this.#options.log('policy', `${policy.name}: divides ${pages} frames among ${tasks} tasks`);
    return null;
  }

  /** Serves for ever. Waits: for requests, and for the times at which contracts change. */
  *serve(): Generator<L4Wait, never> {
    const l4 = this.#l4;
    const { message } = l4;
    const objects = new ObjectTable<null>(l4.wordBits === 32 ? HANDLES_32 : HANDLES_64, () => undefined); // none: callers are known by task id
    const dispatcher = new Dispatcher({
      methods: MEMORY_POLICY,
      handlers: this.#handlers(),
      objects,
      nobody: null,
      tracer: this.#options.tracer,
    });
    let client = NIL;
    for (;;) {
      if (client !== NIL) l4.reply(client);
      client = NIL;
      if (!this.#retired && this.#contracts.next <= l4.clock()) {
        yield* this.#update((pages) => this.#contracts.advance(l4.clock(), pages));
      }
      l4.acceptor = ACCEPT_UNTYPED;
      if ((yield* l4.receive(ANY, this.#patience())) !== 0) continue;
      const from = l4.from;
      const answer = dispatcher.dispatch(from, message);
      const label = typeof answer === 'number' ? answer : yield* answer;
      if (dispatcher.finish(from, message, label)) client = from;
    }
  }

  /** How long may be waited before a contract changes by itself. */
  #patience(): number {
    const next = this.#retired ? Number.POSITIVE_INFINITY : this.#contracts.next;
    return next === Number.POSITIVE_INFINITY ? NEVER : timeout(Math.max(1, next - this.#l4.clock()));
  }

  #handlers(): Handlers<typeof MEMORY_POLICY, null> {
    return {
      negotiate: (call, wanted, extra, term, thread) => this.#negotiate(call, wanted, extra !== 0, term, thread as ThreadId),
      contract: (call) => {
        if (this.#retired) return ECAP_DIED;
        const contract = this.#contracts.get(call.task);
        return contract === null ? ESRCH : this.#answer(call, contract);
      },
      assign: (call, task, user, priority, weight, swap) => this.#assign(call, task, { user, priority, weight }, swap),
      handOver: (call, task) => this.#handOver(call, task),
    };
  }

  *#negotiate(call: Call<null>, wanted: number, extra: boolean, term: number, thread: ThreadId): Generator<L4Wait, number> {
    const l4 = this.#l4;
    const { task } = call;
    if (this.#retired) return ECAP_DIED;
    if (thread !== NIL && taskOf(thread, l4.wordBits) !== task) return EINVAL;
    yield* this.#look();
    if (!(yield* this.#isPrincipal(task))) return ESRCH;
    const inForce = yield* this.#view.load(task, ROW_GUARANTEED);
    const pages = yield* this.#pages(task);
    const result = this.#contracts.negotiate({ task, wanted, extra, term }, inForce, l4.clock(), pages);
    if (result === ENOMEM) return ENOMEM;
    const known = this.#published.get(task);
    const told = { guaranteed: NaN, target: NaN, due: NaN };
    this.#published.set(task, { guaranteed: inForce, extra: known?.extra ?? !extra, told, thread });
    yield* this.#publish(task);
    return this.#answer(call, result);
  }

  #answer(call: Call<null>, contract: Contract): number {
    const now = this.#l4.clock();
    call.result(0, contract.inForce);
    call.result(1, contract.extra ? 1 : 0);
    call.result(2, fromNow(contract.expires, now));
    call.result(3, contract.target);
    call.result(4, fromNow(contract.due, now));
    return 0;
  }

  *#assign(call: Call<null>, task: number, standing: Standing, swap: number): Generator<L4Wait, number> {
    if (this.#retired) return ECAP_DIED;
    if (call.task !== this.#options.rootTask) return EPERM;
    if (!isVersion(task, this.#l4.wordBits) || standing.weight < 1) return EINVAL;
    if (swap !== SWAP_AS_BEFORE) {
      if (!(yield* this.#isPrincipal(task))) return ESRCH;
      const isExtra = ((yield* this.#view.load(task, ROW_POLICY)) & POLICY_EXTRA) !== 0;
      yield* this.#view.store(task, ROW_POLICY, policyWord(isExtra, swap));
    }
    yield* this.#update((pages) => this.#contracts.assign(task, standing, this.#l4.clock(), pages));
    return 0;
  }

  *#handOver(call: Call<null>, task: number): Generator<L4Wait, number> {
    const l4 = this.#l4;
    if (this.#retired) return ECAP_DIED;
    if (call.task !== this.#options.rootTask) return EPERM;
    const { physmem, policy } = this.#memory;
    const label = yield* invoke(l4, physmem, PHYSMEM.copyCapability, policy, task);
    if (label !== 0) return label;
    call.result(0, l4.message.word(1));
    this.#retired = true;
    yield* invoke(l4, physmem, PHYSMEM.releaseCapability, policy, 1);
    this.#view.drop();
    return 0;
  }

  /** Looks at the rows, lets the contracts change, and writes what has changed. */
  *#update(change: (pages: number) => void): Generator<L4Wait, void> {
    yield* this.#look();
    change(yield* this.#pages(0));
    yield* this.#publish(0);
  }

  /** Forgets contracts whose row is no longer what we wrote: the task has gone, or physmem has made it another's. */
  *#look(): Generator<L4Wait, void> {
    const view = this.#view;
    for (const [task, { guaranteed }] of this.#published) {
      const isLive = ((yield* view.load(task, ROW_SERVER)) & SERVER_LIVE) !== 0;
      if (isLive && (yield* view.load(task, ROW_GUARANTEED)) === guaranteed) continue;
      this.#published.delete(task);
      this.#contracts.forget(task);
    }
  }

  /** Pages there are for contracts: all but those guaranteed to others. @param task is about to make one */
  *#pages(task: number): Generator<L4Wait, number> {
    const view = this.#view;
    let pages = (yield* view.load(0, HEADER_PAGES)) - (this.#options.reserve ?? RESERVE);
    const rows = yield* view.rows();
    for (let row = 1; row < rows; row += 1) {
      if (row === task || this.#published.has(row)) continue;
      if (((yield* view.load(row, ROW_SERVER)) & SERVER_LIVE) !== 0) pages -= yield* view.load(row, ROW_GUARANTEED);
    }
    return Math.max(0, pages);
  }

  *#isPrincipal(task: number): Generator<L4Wait, boolean> {
    const rows = yield* this.#view.rows();
    return task < rows && ((yield* this.#view.load(task, ROW_SERVER)) & SERVER_LIVE) !== 0;
  }

  /**
   * Brings the buffer and the tasks up to date: lowers, commits, then raises, and tells. What physmem does not put in
   * force, because the root task has these pages, is taken back: the contract stays below its target.
   * @param asker is told by the reply to its own request; 0: nobody
   */
  *#publish(asker: number): Generator<L4Wait, void> {
    const isNew = yield* this.#writeFlags();
    const lower = this.#changed((before, after) => after < before);
    for (const contract of lower) yield* this.#write(contract);
    const higher = this.#changed((before, after) => after > before);
    const before = higher.map(({ task }) => this.#published.get(task)?.guaranteed ?? 0);
    for (const contract of higher) yield* this.#write(contract);
    if (isNew || lower.length + higher.length > 0) yield* this.#commit();
    if (higher.length > 0 && (yield* this.#isRefused())) {
      for (const [i, contract] of higher.entries()) {
        contract.inForce = before[i] as number;
        yield* this.#write(contract);
      }
      yield* this.#commit();
    }
    for (const contract of this.#contracts.all()) yield* this.#tell(contract, contract.task === asker);
  }

  /** Contracts whose guarantee is not what the buffer says. */
  #changed(is: (before: number, after: number) => boolean): Contract[] {
    return [...this.#contracts.all()].filter(({ task, inForce }) => is(this.#published.get(task)?.guaranteed ?? 0, inForce));
  }

  *#write({ task, inForce }: Contract): Generator<L4Wait, void> {
    (this.#published.get(task) as Published).guaranteed = inForce; // made with the contract
    yield* this.#view.store(task, ROW_GUARANTEED, inForce);
  }

  /** @returns whether there was anything to write */
  *#writeFlags(): Generator<L4Wait, boolean> {
    let isChanged = false;
    for (const { task, extra } of this.#contracts.all()) {
      const published = this.#published.get(task) as Published;
      if (published.extra === extra) continue;
      published.extra = extra;
      const swap = swapQuotaOf(yield* this.#view.load(task, ROW_POLICY));
      yield* this.#view.store(task, ROW_POLICY, policyWord(extra, swap));
      isChanged = true;
    }
    return isChanged;
  }

  /** Has physmem read the buffer. @returns whether it could not raise a guarantee */
  *#isRefused(): Generator<L4Wait, boolean> {
    const { physmem, policy } = this.#memory;
    const label = yield* invoke(this.#l4, physmem, PHYSMEM.getPolicyBuffer, policy, BUFFER_BASE);
    return label !== 0 || ((yield* this.#view.load(0, HEADER_SERVER)) & HEADER_OVERCOMMIT) !== 0;
  }

  *#commit(): Generator<L4Wait, void> {
    this.#commits += 1;
    yield* this.#view.commit(this.#commits);
  }

  /** Sends a notice where the task knows something else. It is not waited for: who misses it may ask. */
  *#tell({ task, inForce, target, due }: Contract, isTold: boolean): Generator<L4Wait, void> {
    const l4 = this.#l4;
    const { told, thread } = this.#published.get(task) as Published;
    if (told.guaranteed === inForce && told.target === target && told.due === due) return;
    Object.assign(told, { guaranteed: inForce, target, due });
    if (isTold || thread === NIL) return;
    l4.message.begin(MEMORY_POLICY_NOTICE.changed.label);
    l4.message.append(inForce);
    l4.message.append(target);
    l4.message.append(fromNow(due, l4.clock()));
    yield* l4.send(thread, ZERO);
  }
}

/** A time as microseconds from now, at least one; NO_TIME for none. Cut to what a word of any machine holds. */
function fromNow(time: number, now: number): number {
  if (time === Number.POSITIVE_INFINITY) return NO_TIME;
  return Math.min(2 ** 32 - 1, Math.max(1, time - now));
}
