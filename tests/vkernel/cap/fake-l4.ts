/** The kernel as one server thread sees it, without a kernel: messages are posted by hand, and replies looked at. */

import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import {
  IPC_TIMEOUT,
  type L4,
  type L4Operation,
  type L4Wait,
  L4_WAIT,
  Message,
  NEVER,
  NIL,
  type ThreadId,
  timeoutMicroseconds,
  type WordBits,
} from '../../../vkernel/l4/user.ts';

export interface Reply {
  readonly label: number;
  readonly words: readonly number[];
  readonly items: readonly { readonly base: number; readonly fpage: number }[];
}

export class FakeKernel {
  readonly message: Message;
  readonly unmapped: number[] = [];
  readonly memory = new Map<number, number>(); // byte value by page: what a fill left there
  readonly printed: string[] = [];
  readonly replies: { readonly to: ThreadId; readonly reply: Reply }[] = []; // all there were, in order
  /** Time limit of the wait the server is in, microseconds. */
  limit = Number.POSITIVE_INFINITY;
  /** Threads that are not receiving. */
  readonly absent = new Set<ThreadId>();
  /** What `clock` says. */
  now = 0;
  /** What a call to another server answers: it finds the request in the message and leaves the reply there. */
  onCall: (to: ThreadId, message: Message) => void = () => {};
  readonly l4: L4;
  readonly #state: { from: ThreadId; reply: Reply | null; waiting: boolean; error: number } = {
    from: NIL,
    reply: null,
    waiting: false,
    error: 0,
  };

  constructor(wordBits: WordBits = 64) {
    this.message = new Message(wordBits);
    this.l4 = this.#makeL4(wordBits);
  }

  /** Lets the server's wait end without a message: `us` microseconds have passed. */
  timeOut(server: Generator<L4Wait, unknown>, us: number): void {
    if (!this.#state.waiting) server.next();
    this.now += us;
    this.#state.from = NIL;
    this.#state.error = IPC_TIMEOUT << 1;
    server.next();
  }

  /** Delivers a request to the server and runs it until it waits again. @returns its reply, or null */
  ask(server: Generator<L4Wait, unknown>, from: ThreadId, label: number, words: readonly number[], typed = 0): Reply | null {
    if (!this.#state.waiting) server.next();
    this.message.begin(label);
    for (const word of words) this.message.append(word);
    this.message.typed = typed;
    this.#state.from = from;
    this.#state.reply = null;
    this.#state.error = 0;
    server.next();
    return this.#state.reply;
  }

  #take(): Reply {
    const { message } = this;
    return {
      label: message.label,
      words: Array.from({ length: message.untyped }, (_, i) => message.word(1 + i)),
      items: Array.from({ length: message.typed / 2 }, (_, i) => {
        const at = 1 + message.untyped + 2 * i;
        return { base: message.itemBase(at), fpage: message.itemFpage(at) };
      }),
    };
  }

  #makeL4(wordBits: WordBits): L4 {
    const { memory, message, printed, unmapped } = this;
    const state = this.#state;
    const take = () => this.#take();
    function* waiting(): L4Operation {
      state.waiting = true;
      yield L4_WAIT;
      state.waiting = false;
      return state.error;
    }
    const wait = (limit: number): L4Operation => {
      this.limit = limit;
      return waiting();
    };
    const leave = (to: ThreadId): void => {
      const reply = take();
      this.replies.push({ to, reply });
      if (to === state.from) state.reply = reply;
    };
    const clock = () => this.now;
    const answer = (to: ThreadId): number => {
      this.onCall(to, message);
      return 0;
    };
    const own: Partial<L4> = {
      wordBits,
      message,
      acceptor: 0,
      get from() {
        return state.from;
      },
      receive: (_from, limit) => wait(timeoutMicroseconds(limit ?? NEVER)),
      replyWait(to) {
        leave(to);
        return wait(Number.POSITIVE_INFINITY);
      },
      reply: (to) => {
        if (this.absent.has(to)) return IPC_TIMEOUT << 1;
        leave(to);
        return 0;
      },
      clock,
      *call(to) {
        return answer(to);
      },
      *send(to) {
        return answer(to);
      },
      unmap(page) {
        unmapped.push(page);
        return 0;
      },
      tryFill(va, len, byte) {
        for (let at = va; at < va + len; at += PAGE_SIZE) memory.set(at / PAGE_SIZE, byte);
        return len;
      },
      tryCopy(dst, src, len) {
        for (let at = 0; at < len; at += PAGE_SIZE) memory.set((dst + at) / PAGE_SIZE, memory.get((src + at) / PAGE_SIZE) ?? -1);
        return len;
      },
      console: {
        write(_fd, bytes) {
          printed.push(new TextDecoder().decode(bytes));
          return bytes.length;
        },
        read: () => new Uint8Array(0),
      },
    };
    return own as L4; // the calls a server makes; anything else is a TypeError in the test
  }
}
