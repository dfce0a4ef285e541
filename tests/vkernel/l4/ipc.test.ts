import { expect, test } from 'vitest';
import {
  ANY,
  ANYLOCAL,
  FrontedProgram,
  IPC_CANCELLED,
  IPC_NO_PARTNER,
  IPC_OVERFLOW,
  IPC_TIMEOUT,
  ipcErrorCode,
  ipcErrorPhase,
  type L4,
  type L4Body,
  type L4Operation,
  type L4Wait,
  NEVER,
  NIL,
  type ThreadId,
  threadId,
  timeout,
  XR_CANCEL_RECEIVE,
  XR_CANCEL_SEND,
  ZERO,
} from '../../../vkernel/l4/user.ts';
import { boot, type Booted, type BootOptions } from './boot.ts';
import { spawn } from './tasks.ts';

/** Runs `root` as the root server and ends the kernel when it returns. */
function run(root: (l4: L4) => Generator<L4Wait, void, void>, options: BootOptions = {}): Booted {
  const body: L4Body = function* (l4) {
    yield* root(l4);
    l4.shutdown('end of test');
  };
  const booted = boot(body, options);
  expect(booted.result).toEqual({ reason: 'shutdown', report: ['end of test'] });
  return booted;
}

/** A server that adds one to the first word. */
const adder: L4Body = function* (l4) {
  yield* l4.receive(ANY);
  for (;;) {
    l4.message.setWord(1, l4.message.word(1) + 1);
    yield* l4.replyWait(l4.from, ANY);
  }
};

test('a thread goes on with the program that its first one returns, and stops when that returns nothing', () => {
  const steps: string[] = [];
  function* second(l4: L4): Generator<L4Wait, void, void> {
    steps.push('second');
    yield* l4.receive(ANY);
    l4.message.setWord(1, 8);
    yield* l4.send(l4.from);
  }
  run(function* (l4) {
    const server = spawn(l4, 0, 7, function* (own) {
      yield* own.receive(l4.id);
      steps.push('first');
      return second(own);
    });
    l4.message.begin(1);
    yield* l4.send(server);
    l4.message.append(7);
    yield* l4.call(server);
    expect([l4.message.word(1), ...steps]).toEqual([8, 'first', 'second']);
    expect(ipcErrorCode(yield* l4.send(server, ZERO))).toBe(IPC_TIMEOUT);
  });
});

test('a function in front of a program answers what it can; the rest finds the program where it waits', () => {
  let asked = 0;
  run(function* (l4) {
    const server = spawn(l4, 0, 7, (own) => {
      const add = (by: number): void => own.message.setWord(1, own.message.word(1) + by);
      function* behind(): Generator<L4Wait, void, void> {
        yield* own.receive(ANY);
        for (;;) {
          asked += 1;
          add(1000);
          yield* own.replyWait(own.from, ANY);
        }
      }
      const answer = (): L4Operation | null => {
        if (asked === 0 || own.error !== 0 || own.message.word(1) % 2 === 0) return null;
        add(1);
        return own.replyWait(own.from, ANY);
      };
      return new FrontedProgram(answer, behind());
    });
    for (const [word, sum] of [
      [1, 1001], // nobody has begun to wait: the program does
      [3, 4],
      [5, 6],
      [6, 1006],
      [7, 8],
    ]) {
      l4.message.begin(1);
      l4.message.append(word);
      expect([yield* l4.call(server), l4.message.word(1)]).toEqual([0, sum]);
    }
  });
  expect(asked).toBe(2);
});

const error = (code: number, phase: number): number => (code << 1) | phase;

test.each([32, 64] as const)('a call carries label and words both ways (%i bits)', (xlen) => {
  run(
    function* (l4) {
      const server = spawn(l4, 0, 7, adder);
      l4.message.begin(5);
      l4.message.append(41);
      l4.message.append(xlen === 32 ? 0xffff_ffff : 2 ** 53 - 1);
      expect(yield* l4.call(server)).toBe(0);
      expect([l4.message.label, l4.message.untyped, l4.message.word(1)]).toEqual([5, 2, 42]);
      expect(l4.message.word(2)).toBe(xlen === 32 ? 0xffff_ffff : 2 ** 53 - 1);
      expect([l4.from, l4.actualSender]).toEqual([server, server]);
    },
    { xlen },
  );
});

test('all 63 words arrive, one more is an overflow at the sender', () => {
  run(function* (l4) {
    const server = spawn(l4, 0, 7, adder);
    l4.message.begin(0);
    for (let i = 1; i <= 63; i++) l4.message.append(i);
    expect(yield* l4.call(server)).toBe(0);
    expect(l4.message.untyped).toBe(63);
    expect(l4.message.word(63)).toBe(63);
    l4.message.untyped = 64;
    expect(yield* l4.call(server)).toBe(error(IPC_OVERFLOW, 0));
  });
});

test('send with timeout zero fails at once when the partner does not wait for us', () => {
  run(function* (l4) {
    const busy = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(threadId(60, 9, 64), NEVER); // nobody: fails
      yield* b.sleep(1000);
    });
    expect(yield* l4.send(busy, ZERO)).toBe(error(IPC_TIMEOUT, 0));
    expect(l4.from).toBe(NIL);
  });
});

test('send with a time limit fails after it, in virtual time', () => {
  run(function* (l4) {
    const sleeper = spawn(l4, 0, 7, function* (b) {
      yield* b.sleep(50_000);
    });
    const before = l4.clock();
    expect(yield* l4.send(sleeper, timeout(3000))).toBe(error(IPC_TIMEOUT, 0));
    expect(l4.clock() - before).toBeGreaterThanOrEqual(3000 - 8);
    expect(l4.clock() - before).toBeLessThan(3100);
  });
});

test('receive: timeout zero fails at once, a period when it is over, from a thread that is not there', () => {
  run(function* (l4) {
    expect(yield* l4.receive(ANY, ZERO)).toBe(error(IPC_TIMEOUT, 1));
    const before = l4.clock();
    expect(yield* l4.receive(ANY, timeout(500))).toBe(error(IPC_TIMEOUT, 1));
    expect(l4.clock() - before).toBeGreaterThanOrEqual(500);
    expect(yield* l4.receive(threadId(77, 3, 64), NEVER)).toBe(error(IPC_NO_PARTNER, 1));
    expect(yield* l4.send(threadId(77, 3, 64), NEVER)).toBe(error(IPC_NO_PARTNER, 0));
    expect(yield* l4.send(l4.id, NEVER)).toBe(error(IPC_NO_PARTNER, 0));
  });
});

test('blocked senders are served first come first served; a closed wait takes its own', () => {
  run(function* (l4) {
    const sender = (word: number): L4Body =>
      function* (b) {
        b.message.begin(word);
        yield* b.send(l4.id);
      };
    const ids = [1, 2, 3, 4].map((i) => spawn(l4, i, 10 + i, sender(i)));
    yield* l4.sleep(100);
    const seen: number[] = [];
    expect(yield* l4.receive(ids[2] as ThreadId)).toBe(0);
    seen.push(l4.message.label);
    for (let i = 0; i < 3; i++) {
      expect(yield* l4.receive(ANY)).toBe(0);
      seen.push(l4.message.label);
    }
    expect(seen).toEqual([3, 1, 2, 4]);
  });
});

test('anylocal passes over senders of other spaces, wherever they stand in the queue', () => {
  run(function* (l4) {
    const got: string[] = [];
    const receiver = spawn(l4, 0, 7, function* (b) {
      yield* b.sleep(100);
      yield* b.receive(ANYLOCAL);
      got.push(`local ${b.message.label}`);
      yield* b.receive(ANYLOCAL, timeout(10));
      got.push(`error ${b.error}`);
      yield* b.receive(ANY);
      got.push(`any ${b.message.label}`);
    });
    const send = (label: number): L4Body =>
      function* (b) {
        b.message.begin(label);
        yield* b.send(receiver);
      };
    spawn(l4, 1, 8, send(1));
    spawn(l4, 2, 7, send(2), { space: receiver });
    yield* l4.sleep(1000);
    expect(got).toEqual(['local 2', `error ${error(IPC_TIMEOUT, 1)}`, 'any 1']);
  });
});

test('send and receive phases are joined: an immediate answer with timeout zero finds the caller waiting', () => {
  run(function* (l4) {
    const high = spawn(
      l4,
      0,
      7,
      function* (b) {
        yield* b.receive(ANY);
        for (;;) yield* b.replyWait(b.from, ANY);
      },
      { priority: 255 },
    );
    for (let i = 0; i < 10; i++) expect(yield* l4.call(high)).toBe(0);
  });
});

test('a server that replies to a client who is not waiting goes on', () => {
  run(function* (l4) {
    const server = spawn(l4, 0, 7, adder);
    l4.message.begin(0);
    l4.message.append(1);
    yield* l4.send(server); // and never listen
    l4.message.begin(0);
    l4.message.append(5);
    expect(yield* l4.call(server)).toBe(0);
    expect(l4.message.word(1)).toBe(6);
    expect(l4.reply(server)).toBe(0); // he waits for any
  });
});

test('a higher priority runs as soon as the message has gone', () => {
  run(function* (l4) {
    const order: string[] = [];
    spawn(
      l4,
      1,
      8,
      function* (low) {
        const high = yield* findServer(low);
        order.push('low sends');
        yield* low.send(high);
        order.push('low goes on');
      },
      { priority: 10 },
    );
    const high = spawn(
      l4,
      0,
      7,
      function* (b) {
        yield* b.receive(ANY);
        order.push('high runs');
      },
      { priority: 20 },
    );
    function* findServer(_b: L4): Generator<L4Wait, ThreadId, void> {
      return high;
    }
    yield* l4.sleep(1000);
    expect(order).toEqual(['low sends', 'high runs', 'low goes on']);
  });
});

test('threads of one priority take turns, also those that never wait', () => {
  run(function* (l4) {
    const counts = [0, 0];
    const spin = (i: number): L4Body =>
      function* (b) {
        for (;;) {
          counts[i] = (counts[i] as number) + 1;
          yield* b.receive(ANY, ZERO);
        }
      };
    spawn(l4, 0, 7, spin(0));
    spawn(l4, 1, 8, spin(1));
    yield* l4.sleep(20_000);
    expect(Math.abs((counts[0] as number) - (counts[1] as number))).toBeLessThan(6000);
    expect(Math.min(...counts)).toBeGreaterThan(1000);
  });
});

test('threadSwitch gives way to an equal, never to a lower priority', () => {
  run(function* (l4) {
    const order: string[] = [];
    const talker = (name: string): L4Body =>
      function* (b) {
        for (let i = 0; i < 2; i++) {
          order.push(name);
          yield* b.threadSwitch(NIL);
        }
      };
    spawn(l4, 0, 7, talker('a'));
    spawn(l4, 1, 8, talker('b'));
    spawn(l4, 2, 9, talker('low'), { priority: 5 });
    yield* l4.sleep(1000);
    expect(order).toEqual(['a', 'b', 'a', 'b', 'low', 'low']);
  });
});

// ---- propagation

test('propagation within a space: the receiver sees the virtual sender, and the actual one beside it', () => {
  run(function* (l4) {
    const friend = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
    });
    const seen: ThreadId[] = [];
    const server = spawn(l4, 2, 9, function* (b) {
      yield* b.receive(ANY);
      seen.push(b.from, b.actualSender);
    });
    const worker = spawn(
      l4,
      1,
      7,
      function* (b) {
        b.propagateAs = friend;
        yield* b.send(server);
        seen.push(b.propagateAs);
      },
      { space: friend },
    );
    yield* l4.sleep(100);
    expect(seen).toEqual([NIL, friend, worker]);
  });
});

test('propagation on behalf of a stranger is dropped silently', () => {
  run(function* (l4) {
    const stranger = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
    });
    const seen: ThreadId[] = [];
    const server = spawn(l4, 2, 9, function* (b) {
      yield* b.receive(ANY);
      seen.push(b.from, b.actualSender);
    });
    const worker = spawn(l4, 1, 8, function* (b) {
      b.propagateAs = stranger;
      yield* b.send(server);
    });
    yield* l4.sleep(100);
    expect(seen).toEqual([worker, worker]);
  });
});

test('a request to propagate is used up by a send to nobody', () => {
  run(function* (l4) {
    const friend = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
    });
    const seen: ThreadId[] = [];
    const server = spawn(l4, 2, 9, function* (b) {
      yield* b.receive(ANY);
      seen.push(b.from);
    });
    const worker = spawn(
      l4,
      1,
      7,
      function* (b) {
        b.propagateAs = friend;
        yield* b.send(threadId(90, 3, 64));
        yield* b.send(server);
      },
      { space: friend },
    );
    yield* l4.sleep(100);
    expect(seen).toEqual([worker]);
  });
});

test('a virtual sender who waits for the actual one waits for the receiver afterwards', () => {
  // client -> front: call; front passes the request on as the client; back answers the client.
  run(function* (l4) {
    const back = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      b.message.begin(99);
      expect(b.reply(b.from)).toBe(0);
    });
    const front = spawn(
      l4,
      1,
      7,
      function* (b) {
        yield* b.receive(ANY);
        b.propagateAs = b.from; // shares the space with the receiver
        yield* b.send(back);
      },
      { space: back },
    );
    l4.message.begin(1);
    expect(yield* l4.call(front)).toBe(0);
    expect([l4.message.label, l4.from]).toEqual([99, back]);
  });
});

test('a closed wait for the actual sender accepts a propagated message', () => {
  run(function* (l4) {
    const seen: ThreadId[] = [];
    const virtual = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
    });
    const workerId = threadId(101, 7, 64);
    const receiver = spawn(l4, 2, 9, function* (b) {
      yield* b.sleep(10);
      yield* b.receive(workerId);
      seen.push(b.from, b.actualSender);
    });
    spawn(
      l4,
      1,
      7,
      function* (b) {
        b.propagateAs = virtual;
        yield* b.send(receiver);
      },
      { space: virtual },
    );
    yield* l4.sleep(1000);
    expect(seen).toEqual([virtual, workerId]);
  });
});

test('anylocal finds a worker who speaks for a local thread, and not one who speaks for a foreign one', () => {
  run(function* (l4) {
    const seen: string[] = [];
    const foreign = spawn(l4, 0, 8, function* (b) {
      yield* b.receive(ANY);
    });
    const receiver = spawn(l4, 1, 7, function* (b) {
      yield* b.sleep(100);
      for (let i = 0; i < 2; i++) {
        yield* b.receive(ANYLOCAL, timeout(10));
        seen.push(b.error === 0 ? `label ${b.message.label}` : 'nothing');
      }
    });
    spawn(
      l4,
      2,
      7,
      function* (b) {
        b.message.begin(1);
        b.propagateAs = foreign;
        yield* b.send(receiver); // local worker, foreign voice
      },
      { space: receiver },
    );
    const partner = spawn(
      l4,
      3,
      7,
      function* (b) {
        yield* b.receive(ANY);
      },
      { space: receiver },
    );
    spawn(
      l4,
      4,
      7,
      function* (b) {
        b.message.begin(2);
        b.propagateAs = partner;
        yield* b.send(receiver);
      },
      { space: receiver },
    );
    yield* l4.sleep(1000);
    expect(seen).toEqual(['label 2', 'nothing']);
  });
});

// ---- cancelling and dying

test('a cancelled wait ends with an error and its phase', () => {
  run(function* (l4) {
    const errors: number[] = [];
    const waiting = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      errors.push(b.error);
      yield* b.send(l4.id);
      errors.push(b.error);
    });
    spawn(
      l4,
      1,
      7,
      function* (b) {
        yield* b.sleep(10);
        expect(b.exchangeRegisters(waiting, XR_CANCEL_RECEIVE, 0, 0, 0, 0, NIL)?.control).toBe(2);
        yield* b.sleep(10);
        expect(b.exchangeRegisters(waiting, XR_CANCEL_SEND, 0, 0, 0, 0, NIL)?.control).toBe(4);
      },
      { space: waiting },
    );
    yield* l4.sleep(1000);
    expect(errors.map(ipcErrorCode)).toEqual([IPC_CANCELLED, IPC_CANCELLED]);
    expect(errors.map(ipcErrorPhase)).toEqual([1, 0]);
  });
});

test('a deleted thread is finished where it waits, never goes on, and its partners learn it', () => {
  run(function* (l4) {
    const events: string[] = [];
    const victim = spawn(l4, 0, 7, function* (b) {
      try {
        yield* b.receive(ANY, timeout(500));
        events.push('resumed');
      } finally {
        events.push('finished');
        yield* b.sleep(1); // must not bring it back
        events.push('after the end');
      }
    });
    spawn(l4, 1, 8, function* (b) {
      yield* b.receive(victim);
      events.push(`closed wait: ${ipcErrorCode(b.error)}`);
    });
    yield* l4.sleep(100);
    expect(l4.threadControl(victim, NIL, NIL, NIL, -1)).toBe(1);
    yield* l4.sleep(2000);
    expect(events.slice(0, 1)).toEqual(['finished']);
    expect(events).toContain(`closed wait: ${IPC_NO_PARTNER}`);
    expect(events).not.toContain('resumed');
    expect(yield* l4.send(victim)).toBe(error(IPC_NO_PARTNER, 0));
  });
});

test('when everybody waits the run ends and says who waits for whom', () => {
  const { result } = boot(function* (l4) {
    const a = spawn(l4, 0, 7, function* (b) {
      yield* b.receive(ANY);
      yield* b.receive(l4.id);
    });
    yield* l4.send(a);
    yield* l4.call(
      spawn(l4, 1, 8, function* (b) {
        yield* b.receive(a);
      }),
    );
  });
  expect(result.reason).toBe('deadlock');
  expect(result.report).toEqual(['48:1 waits for any', '50:1 waits to send to 101:8', '100:7 waits for 50:1', '101:8 waits for 100:7']);
});

test('sleeping threads wake in the order of their deadlines, equal ones in the order they went to sleep', () => {
  run(function* (l4) {
    const order: number[] = [];
    for (const [i, us] of [300, 100, 200, 100].entries()) {
      spawn(l4, i, 10 + i, function* (b) {
        yield* b.sleep(us);
        order.push(i);
      });
    }
    yield* l4.sleep(1000);
    expect(order).toEqual([1, 3, 2, 0]);
  });
});

test('the same program gives the same trace', () => {
  const trace = (): number => {
    let now = 0;
    run(
      function* (l4) {
        const server = spawn(l4, 0, 7, adder);
        for (let i = 0; i < 50; i++) {
          l4.message.begin(0);
          l4.message.append(i);
          yield* l4.call(server);
        }
        yield* l4.sleep(77);
      },
      { after: (kernel) => void (now = kernel.now) },
    );
    return now;
  };
  expect(trace()).toBe(trace());
});
