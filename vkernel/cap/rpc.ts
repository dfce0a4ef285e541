/**
 * RPC over L4 messages: an interface is one typed value; client calls and server dispatch are derived from it.
 *
 *   request   label = method    MR1..MRn = arguments, in the order listed; MR1 is the capability handle where the
 *                               method is `on` a class of objects; then the elements of the list, where it has one
 *   reply     label = errno     MR1..MRm = results (zero where the method failed early), then the elements of the
 *                               reply's list, then map items
 *
 * Not here: who may use which object (objects.ts), and what a method does (its server).
 * Source: physmem message conventions of hurd-l4; the reply label carries the error there too.
 */

import { ECANCELED, ECAP_DIED, EINVAL, EOPNOTSUPP, EOVERFLOW, EPERM, errnoName, ETIMEDOUT } from '../../hostkernel/base/errno.ts';
import { kassert } from '../../hostkernel/base/assert.ts';
import type { Tracer } from '../../hostkernel/base/trace.ts';
import {
  ACCEPT_ALL,
  ACCEPT_UNTYPED,
  ANY,
  fpageSize,
  IPC_NO_PARTNER,
  IPC_OVERFLOW,
  IPC_TIMEOUT,
  ipcErrorCode,
  type L4,
  type L4Wait,
  LABEL_PAGE_FAULT,
  type Message,
  NEVER,
  NIL,
  taskOf,
  type ThreadId,
  timeout,
} from '../l4/user.ts';
import type { ObjectTable } from './objects.ts';
import type { ParkedRequests } from './parked.ts';

/** One method as its interface declares it. All words are numbers; at most MAX_ARGUMENTS of them. */
export interface MethodDefinition {
  readonly label: number;
  readonly request: readonly string[]; // names of the words that must come
  readonly optional?: readonly string[]; // words that may follow; a missing one reads as 0
  readonly list?: readonly string[]; // names of the words of one element of the list that follows, 1 to MAX_LIST elements
  readonly reply: readonly string[]; // names of the result words
  readonly replyList?: readonly string[]; // names of the words of one element of the list behind them, 0 to MAX_LIST elements
  readonly maps?: boolean; // the reply carries map items
  readonly on?: string; // class of the object whose handle is the first word, or ANY_CLASS; absent: the method needs no handle
  readonly alsoOn?: string; // a second class it is for
  readonly refuses?: string; // a class whose holders are told EPERM: a lesser right to the same thing
  readonly evenDead?: boolean; // the object may have died: the method is about the handle
}

/** Stands for every class of a server in `on`. */
export const ANY_CLASS = '*';

/** A method of an interface, with what dispatch and calls look up at every use. */
export type Method<D extends MethodDefinition = MethodDefinition> = D & {
  readonly server: string;
  readonly name: string;
  readonly words: number; // request and optional words together
};

export type Interface<M extends Readonly<Record<string, MethodDefinition>> = Readonly<Record<string, MethodDefinition>>> = {
  readonly [K in keyof M]: Method<M[K]>;
};

type Words<Names extends readonly string[]> = { [I in keyof Names]: number };
type OptionalWords<D extends MethodDefinition> = D extends { readonly optional: infer Names extends readonly string[] } ? Words<Names> : [];

/** The arguments of a call, one number a word. */
export type Arguments<D extends MethodDefinition> = [...Words<D['request']>, ...Partial<OptionalWords<D>>];

export const MAX_ARGUMENTS = 8; // words of a request, without its list
export const MAX_LIST = 24; // elements of a list
export const MAX_LIST_WORDS = 2; // words of an element: with the arguments they fit into the message registers
export const MAX_RESULTS = 14; // words of a reply, without its list: with the list they fit, too
export const MAX_ITEMS = 31; // map items a reply holds: 63 message registers, two for an item, one for a result

/** A handler's answer for a request that gets none: the client is not told why. */
export const NO_REPLY = -1;
/**
 * A handler's answer where nothing has changed yet: the request is to be tried again later (parked.ts). The message
 * registers must still hold it: only a handler that does not wait itself may answer so.
 */
export const PARKED = -2;

/** Declares the interface of a server. Labels are unique in it. */
export function defineInterface<const M extends Readonly<Record<string, MethodDefinition>>>(server: string, methods: M): Interface<M> {
  const labels = new Set<number>();
  const entries = Object.entries(methods).map(([name, method]) => {
    const words = method.request.length + (method.optional?.length ?? 0);
    const element = Math.max(method.list?.length ?? 0, method.replyList?.length ?? 0);
    kassert(
      words <= MAX_ARGUMENTS && method.reply.length <= MAX_RESULTS && element <= MAX_LIST_WORDS,
      `rpc: ${server}.${name} has too many words`,
    );
    kassert(method.maps !== true || method.replyList === undefined, `rpc: ${server}.${name} has no room for its map items`);
    kassert(method.list === undefined || method.optional === undefined, `rpc: ${server}.${name} has a list behind optional words`);
    kassert(!labels.has(method.label), `rpc: ${server}.${name} reuses label ${method.label}`);
    labels.add(method.label);
    return [name, { ...method, server, name, words }];
  });
  return Object.fromEntries(entries) as Interface<M>; // the keys of `methods`, each value extended
}

/**
 * Calls a method and waits for its reply. Result words are then in `l4.message`, from register 1 on. Hot: allocates
 * nothing of its own.
 * @returns the reply label: 0, or an errno (result words may follow: partial success);
 *   ECAP_DIED  the server does not exist; ECANCELED, ETIMEDOUT, EOVERFLOW for the other ways IPC fails
 * Waits: for the server.
 */
export const invoke = invokeWords as <D extends MethodDefinition>(
  l4: L4,
  server: ThreadId,
  method: Method<D>,
  ...args: Arguments<D>
) => Generator<L4Wait, number>; // the same function: a word that is not given is 0

function* invokeWords(
  l4: L4,
  server: ThreadId,
  method: Method,
  a0 = 0,
  a1 = 0,
  a2 = 0,
  a3 = 0,
  a4 = 0,
  a5 = 0,
  a6 = 0,
  a7 = 0,
): Generator<L4Wait, number> {
  putWords(l4, method, a0, a1, a2, a3, a4, a5, a6, a7);
  return replyLabel(l4, yield* l4.call(server));
}

/**
 * The same for a method that takes a list: its elements, one after the other, each with all its words.
 * @param list at most MAX_LIST elements; what is longer is the caller's to cut
 */
export const invokeList = invokeListWords as <D extends MethodDefinition>(
  l4: L4,
  server: ThreadId,
  method: Method<D>,
  list: readonly number[],
  ...args: Arguments<D>
) => Generator<L4Wait, number>;

function* invokeListWords(l4: L4, server: ThreadId, method: Method, list: readonly number[], ...args: number[]): Generator<L4Wait, number> {
  kassert(list.length <= MAX_LIST * (method.list?.length ?? 0), `rpc: list of ${method.server}.${method.name} is too long`);
  putWords(l4, method, ...args);
  for (const word of list) l4.message.append(word);
  return replyLabel(l4, yield* l4.call(server));
}

/**
 * The first half of `invoke`: puts a request into the message registers and opens the window for its reply. For a path
 * so hot that it makes the call itself: a generator costs it more than the request.
 */
export const putRequest = putWords as <D extends MethodDefinition>(l4: L4, method: Method<D>, ...args: Arguments<D>) => void;

/** The second half. @param error of the call @returns what `invoke` returns */
export function replyLabel(l4: L4, error: number): number {
  return error === 0 ? l4.message.label : ipcErrno(error);
}

function putWords(l4: L4, method: Method, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0): void {
  const { message } = l4;
  const { words } = method;
  message.label = method.label;
  message.untyped = words;
  message.typed = 0;
  l4.acceptor = method.maps === true ? ACCEPT_ALL : ACCEPT_UNTYPED;
  if (words > 0) message.setWord(1, a0);
  if (words > 1) message.setWord(2, a1);
  if (words > 2) message.setWord(3, a2);
  if (words > 3) message.setWord(4, a3);
  if (words > 4) message.setWord(5, a4);
  if (words > 5) message.setWord(6, a5);
  if (words > 6) message.setWord(7, a6);
  if (words > 7) message.setWord(8, a7);
}

/** The errno of an IPC error word: how a caller sees a server that cannot be reached. */
function ipcErrno(error: number): number {
  switch (ipcErrorCode(error)) {
    case IPC_TIMEOUT:
      return ETIMEDOUT;
    case IPC_NO_PARTNER:
      return ECAP_DIED;
    case IPC_OVERFLOW:
      return EOVERFLOW;
    default:
      return ECANCELED;
  }
}

/**
 * One request while it is served: who asks, of which object, and the reply as it grows. One record a server, reused:
 * a handler must not keep it.
 */
export class Call<O> {
  from: ThreadId = NIL; // thread to be answered
  task = 0; // its task id
  object: O; // what the handle in the first word stands for; meaningful where the method is `on` a class
  results = 0; // result words of the method; 0 until it is known
  /** Elements of the request's list, and their words one after the other. Words behind them are stale. */
  listLength = 0;
  readonly list = new Float64Array(MAX_LIST * MAX_LIST_WORDS);
  readonly #words = new Float64Array(MAX_RESULTS + MAX_LIST * MAX_LIST_WORDS);
  #wordCount = 0; // words from here on are zero
  readonly #items = new Float64Array(2 * MAX_ITEMS); // send base, fpage
  #itemCount = 0;

  constructor(object: O) {
    this.object = object;
  }

  /** Sets result word `index`, counted from 0 in the order of the method's `reply`. */
  result(index: number, value: number): void {
    this.#words[index] = value;
    if (index >= this.#wordCount) this.#wordCount = index + 1;
  }

  /** Appends an element of two words to the reply's list, behind the result words. */
  append(word: number, second: number): void {
    if (this.#wordCount < this.results) this.#wordCount = this.results;
    kassert(this.#wordCount + 2 <= this.#words.length, 'rpc: reply full');
    this.#words[this.#wordCount] = word;
    this.#words[this.#wordCount + 1] = second;
    this.#wordCount += 2;
  }

  /** Map items this reply still has room for. */
  get itemRoom(): number {
    return MAX_ITEMS - this.#itemCount;
  }

  /** Appends a map item. `fpage` carries the rights; `sendBase` is the byte address inside the receiver's window. */
  mapItem(sendBase: number, fpage: number): void {
    kassert(this.#itemCount < MAX_ITEMS, 'rpc: reply full');
    this.#items[2 * this.#itemCount] = sendBase;
    this.#items[2 * this.#itemCount + 1] = fpage;
    this.#itemCount += 1;
  }

  /** Takes all map items back. */
  clearItems(): void {
    this.#itemCount = 0;
  }

  /** Forgets the previous request's results. */
  begin(from: ThreadId, task: number): void {
    this.from = from;
    this.task = task;
    for (let i = 0; i < this.#wordCount; i += 1) this.#words[i] = 0;
    this.#wordCount = 0;
    this.#itemCount = 0;
    this.listLength = 0;
    this.results = 0;
  }

  /** Takes the list out of a request: `elements` of `width` words, behind `words` others. */
  takeList(message: Message, words: number, elements: number, width: number): void {
    this.listLength = elements;
    for (let i = 0; i < elements * width; i += 1) this.list[i] = message.word(1 + words + i);
  }

  /** Writes the reply into the message registers: the result words, then what was appended. */
  finish(message: Message, label: number): void {
    const words = Math.max(this.results, this.#wordCount);
    message.label = label;
    message.untyped = words;
    message.typed = 2 * this.#itemCount;
    for (let i = 0; i < words; i += 1) message.setWord(1 + i, this.#words[i]);
    for (let i = 0; i < this.#itemCount; i += 1) message.setMapItem(1 + words + 2 * i, this.#items[2 * i], this.#items[2 * i + 1]);
  }

  /** The reply as it is now, for a trace event. */
  reply(): { readonly results: readonly number[]; readonly items: number; readonly mapped: number } {
    let mapped = 0; // bytes
    for (let i = 0; i < this.#itemCount; i += 1) mapped += fpageSize(this.#items[2 * i + 1]);
    return { results: [...this.#words.subarray(0, Math.max(this.results, this.#wordCount))], items: this.#itemCount, mapped };
  }
}

/**
 * What a server does for a method: returns the reply label (0 or an errno), or NO_REPLY. A handler that must wait is a
 * generator; it sets its results after its last wait or before, as it likes: they are kept apart from the message.
 */
export type Handler<D extends MethodDefinition, O> = (
  call: Call<O>,
  ...args: [...Words<D['request']>, ...OptionalWords<D>]
) => number | Generator<L4Wait, number>;

export type Handlers<M extends Readonly<Record<string, MethodDefinition>>, O> = { readonly [K in keyof M]: Handler<M[K], O> };

type AnyHandler<O> = (
  call: Call<O>,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  a4: number,
  a5: number,
  a6: number,
  a7: number,
) => number | Generator<L4Wait, number>;

/** A method with its handler, as dispatch finds it by label: one shape for all, whatever their definitions leave out. */
interface Route<O> {
  readonly method: Method;
  readonly handler: AnyHandler<O>;
  readonly on: string; // '' for a method that needs no handle
  readonly alsoOn: string; // '' for none
  readonly evenDead: boolean;
  readonly fewest: number; // words
  readonly most: number; //   words, without the list
  readonly element: number; // words of an element of the list; 0: it has no list
  readonly results: number; // words
}

export interface Service<M extends Readonly<Record<string, MethodDefinition>>, O> {
  readonly methods: Interface<M>;
  readonly handlers: Partial<Handlers<M, O>>; // a method without one is not known
  readonly objects: ObjectTable<O>; // where handles are looked up; a server without objects gives an empty table
  readonly nobody: O; // stands in Call.object while a method without handle is served
  readonly tracer: Tracer;
  /** For a server that is a pager too: answers the page fault of `call.from` at `address`, an access of `rights` (rwx). */
  readonly fault?: (call: Call<O>, address: number, rights: number) => number;
  readonly waiting?: Waiting; // for a server whose handlers may answer PARKED, or that has something to do at certain times
}

/** What a server does between requests. */
export interface Waiting {
  readonly parked: ParkedRequests;
  /** The thread whose request has not been answered yet, NIL for none: it would take any message of ours for the reply. */
  client: ThreadId;
  /** Does what is due. @returns microseconds until it must be asked again; Infinity: nothing will be due */
  readonly due: () => number;
  /** Whether anything will be due. Does nothing: a reply may be ready that names what `due` could take away. */
  readonly isTimed: () => boolean;
  /** Whether, since it was last asked, anything has happened that may help a parked request. */
  readonly worthTrying: () => boolean;
}

/**
 * The loop of a server: receive, check, dispatch, reply with zero timeout, receive the next. One request at a time,
 * each to completion or parked, so nothing needs a lock. What a thread sends while a request of its is parked is dropped.
 *
 * Checks, in this order: at least the handle word came (else dropped), the handle is this task's (else dropped, so
 * that handles cannot be guessed), the object lives (else ECAP_DIED), the label is known (else EOPNOTSUPP), the word
 * count is right and no typed item came (else EINVAL), the object is of the method's class (else EINVAL, or EPERM for
 * a class it refuses).
 * Does not return. Waits: for requests, and for whatever its handlers wait.
 */
export function* serve<M extends Readonly<Record<string, MethodDefinition>>, O>(l4: L4, service: Service<M, O>): Generator<L4Wait, never> {
  const dispatcher = new Dispatcher(service);
  const message = l4.message;
  const waiting = service.waiting ?? null;
  l4.acceptor = ACCEPT_UNTYPED;
  let error = yield* l4.receive(ANY);
  for (;;) {
    const isRequest = error === 0 && (waiting === null || !waiting.parked.has(l4.from)); // else: our wait ended, or it is a second one
    const client = l4.from;
    let replies = isRequest;
    if (waiting !== null) waiting.client = isRequest ? client : NIL;
    if (isRequest) {
      if (waiting !== null && waiting.isTimed()) waiting.due(); // what should have happened before the request came
      const answer = dispatcher.dispatch(client, message);
      const label = typeof answer === 'number' ? answer : yield* answer;
      replies = dispatcher.finish(client, message, label);
      l4.acceptor = ACCEPT_UNTYPED; // a handler may have called others
    }
    if (waiting !== null && (waiting.parked.size > 0 || waiting.isTimed())) {
      if (replies) l4.reply(client);
      waiting.client = NIL;
      waiting.due();
      yield* tryParked(l4, dispatcher, waiting);
      const limit = waiting.due();
      error = yield* l4.receive(ANY, limit === Number.POSITIVE_INFINITY ? NEVER : timeout(Math.max(1, limit)));
    } else {
      error = replies ? yield* l4.replyWait(client, ANY) : yield* l4.receive(ANY);
    }
  }
}

/** Tries the parked requests, in order, as long as that may help. Waits: for what their handlers wait. */
function* tryParked<M extends Readonly<Record<string, MethodDefinition>>, O>(
  l4: L4,
  dispatcher: Dispatcher<M, O>,
  waiting: Waiting,
): Generator<L4Wait, void> {
  const { parked } = waiting;
  while (parked.size > 0 && waiting.worthTrying()) {
    for (const client of parked.clients()) {
      const request = parked.of(client);
      if (request === null) continue; // another of them has ended it
      l4.message.copyFrom(request);
      waiting.client = client;
      const answer = dispatcher.dispatch(client, l4.message);
      const label = typeof answer === 'number' ? answer : yield* answer;
      if (label === PARKED) continue;
      parked.remove(client);
      if (dispatcher.finish(client, l4.message, label)) l4.reply(client);
      waiting.client = NIL;
      l4.acceptor = ACCEPT_UNTYPED;
    }
  }
}

/** Dispatch of requests to handlers, apart from the loop: what `serve` runs for every message. */
export class Dispatcher<M extends Readonly<Record<string, MethodDefinition>>, O> {
  readonly #routes: ReadonlyMap<number, Route<O>>;
  readonly #service: Service<M, O>;
  readonly #call: Call<O>;
  readonly #server: string;
  readonly #hasHandles: boolean; // some method takes one: then a bad handle is dropped, whether its label is known or not
  #traced: { method: string; args: readonly number[] } | null = null;

  constructor(service: Service<M, O>) {
    const routes = new Map<number, Route<O>>();
    for (const [name, method] of Object.entries<Method>(service.methods)) {
      const handler = service.handlers[name] as unknown as AnyHandler<O> | undefined; // takes the words of this method; more are ignored
      if (handler !== undefined) routes.set(method.label, routeOf(method, handler));
    }
    this.#routes = routes;
    this.#service = service;
    this.#server = Object.values<Method>(service.methods)[0]?.server ?? '';
    this.#hasHandles = Object.values<Method>(service.methods).some((method) => method.on !== undefined);
    this.#call = new Call<O>(service.nobody);
  }

  /** Checks a request and starts its handler. Hot: allocates only where a trace sink listens. */
  dispatch(client: ThreadId, message: Message): number | Generator<L4Wait, number> {
    const call = this.#call;
    call.begin(client, taskOf(client, message.wordBits));
    this.#traced = null;
    const route = this.#routes.get(message.label);
    const words = message.untyped;
    call.object = this.#service.nobody;
    if (message.label < 0 && isFault(message)) return this.#service.fault?.(call, message.word(1), message.label & 7) ?? NO_REPLY;
    if (route === undefined ? this.#hasHandles : route.on !== '') {
      if (words < 1) return NO_REPLY;
      const entry = this.#service.objects.lookup(message.word(1), call.task);
      if (entry === null) return NO_REPLY;
      if (entry.dead && route?.evenDead !== true) return ECAP_DIED;
      const kind = entry.served.kind;
      if (route !== undefined && kind !== route.on && kind !== route.alsoOn && route.on !== ANY_CLASS) {
        return kind === route.method.refuses ? EPERM : EINVAL;
      }
      call.object = entry.served.value;
    }
    if (route === undefined) return EOPNOTSUPP;
    call.results = route.results;
    if (words < route.fewest || message.typed !== 0) return EINVAL;
    if (words > route.most && !takeList(call, message, route)) return EINVAL;
    if (this.#service.tracer.rpc !== null) this.#traced = { method: route.method.name, args: argumentsOf(message) };
    return route.handler(
      call,
      words > 0 ? message.word(1) : 0,
      words > 1 ? message.word(2) : 0,
      words > 2 ? message.word(3) : 0,
      words > 3 ? message.word(4) : 0,
      words > 4 ? message.word(5) : 0,
      words > 5 ? message.word(6) : 0,
      words > 6 ? message.word(7) : 0,
      words > 7 ? message.word(8) : 0,
    );
  }

  /**
   * Writes the reply of the request last dispatched into `message`, and reports it to the trace sink; a request that is
   * to be tried again is parked. @returns whether there is a reply
   */
  finish(client: ThreadId, message: Message, label: number): boolean {
    if (label === PARKED) {
      this.#park(client, message);
      return false;
    }
    const sink = this.#service.tracer.rpc;
    const traced = this.#traced;
    if (sink !== null && traced !== null) {
      const { results, items, mapped } = this.#call.reply();
      sink({ server: this.#server, method: traced.method, client, args: traced.args, errno: label, results, items, mapped });
    }
    if (label === NO_REPLY) return false;
    this.#call.finish(message, label);
    return true;
  }

  #park(client: ThreadId, message: Message): void {
    const { waiting } = this.#service;
    kassert(waiting !== undefined, 'rpc: a server that parks nothing has parked a request');
    waiting.parked.park(client, message);
  }
}

/** Whether the kernel's page-fault protocol begins so. Anybody can send it: he speaks for himself then. */
function isFault(message: Message): boolean {
  return message.label >= LABEL_PAGE_FAULT && message.label <= LABEL_PAGE_FAULT + 7 && message.untyped === 2 && message.typed === 0;
}

function routeOf<O>(method: Method, handler: AnyHandler<O>): Route<O> {
  const element = method.list?.length ?? 0;
  return {
    method,
    handler,
    on: method.on ?? '',
    alsoOn: method.alsoOn ?? '',
    evenDead: method.evenDead === true,
    fewest: method.request.length + element,
    most: method.words,
    element,
    results: method.reply.length,
  };
}

/** Takes the list of a request that has more words than its method has arguments. @returns false where it is malformed */
function takeList<O>(call: Call<O>, message: Message, route: Route<O>): boolean {
  const { element, most } = route;
  const elements = (message.untyped - most) / element;
  if (element === 0 || !Number.isInteger(elements) || elements > MAX_LIST) return false;
  call.takeList(message, most, elements, element);
  return true;
}

/** The untyped words of a message, for a trace event. */
function argumentsOf(message: Message): readonly number[] {
  return Array.from({ length: message.untyped }, (_, i) => message.word(1 + i));
}

/** How a call that failed is shown to a person: `physmem.allocate: ENOMEM`. */
export function callText(method: Method, label: number): string {
  return `${method.server}.${method.name}: ${errnoName(label)}`;
}
