/** A task that sends the servers of the boot whatever it likes: no server falls, none hands out what it should not, nothing is lost. */
import { expect, test } from 'vitest';
import { ACCEPT_ALL, type L4, type L4Wait, NIL, type ThreadId, threadId, timeout, USER_BASE } from '../../../vkernel/l4/user.ts';
import {
  COPY_IN_PLACE,
  COPY_SHARED,
  FORCE_WRITE,
  MAP_READ,
  MAP_WRITE,
  MAX_HOLD_US,
  PHYSMEM,
  SQUASH,
} from '../../../vkernel/physmem/interface.ts';
import { TASK } from '../../../vkernel/task/interface.ts';
import { WORTEL_MSG_SHUTDOWN } from '../../../vkernel/wortel/interface.ts';
import { PAGE, withStack } from '../../userland/libhurd-mm/stack.ts';

const ROUNDS = 4000;
const LIMIT = timeout(2000); // microseconds: many messages get no answer

/** Numbers below n, the same for the same seed. */
function randomSource(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

/** Whether the message would take the task's own memory away: the test would end with it. */
function isSuicide(label: number, handles: readonly number[], own: number): boolean {
  const names = ['allocate', 'controlDestroy', 'copy', 'copyVector', 'createFrom', 'deallocate', 'destroy', 'release'] as const;
  const harmful: readonly number[] = [...names, 'releaseCapability' as const, 'swapIn' as const, 'swapOut' as const].map(
    (name) => PHYSMEM[name].label,
  );
  return harmful.includes(label) && handles.some((handle) => handle === own || handle === own + 1);
}

test.each([
  [64, 1],
  [64, 2],
  [32, 3],
  [32, 4],
] as const)('garbage to every server, on a %i-bit machine, seed %i', (xlen, seed) => {
  const random = randomSource(seed);
  const [sigma0, wortel, physmem, taskServer] = [
    threadId(USER_BASE, 1, xlen),
    threadId(USER_BASE + 2, 1, xlen),
    threadId(USER_BASE + 3, 2, xlen),
    threadId(USER_BASE + 7, 3, xlen),
  ];
  const servers = [sigma0, wortel, physmem, taskServer];
  const labels = [...Object.values(PHYSMEM), ...Object.values(TASK)].map((method) => method.label);
  const { controlSplit, create, createFrom, createWith } = PHYSMEM;
  const makers: readonly number[] = [controlSplit, create, createFrom, createWith].map((method) => method.label);
  const scale = xlen === 64 ? 2 ** 32 : 2 ** 18; // of the client index in a handle
  const held: number[] = []; // handles of containers and controls the task has made

  const forged = (): number => (1 + random(4)) * scale + 1 + random(6);
  const handle = (own: number): number => held[random(held.length + 1)] ?? own;
  const pages = (n: number): number => PAGE * random(n);
  const word = (): number =>
    [random(10), pages(40), 2 ** random(xlen) - pages(3), 2 ** 53 - PAGE, -1, forged(), random(2 ** 31) * random(2 ** 31)][random(7)] ?? 0;

  /** A request as a client would make it. */
  function wellFormed(l4: L4, own: number): void {
    const rights = [MAP_READ, MAP_READ | MAP_WRITE, MAP_READ | MAP_WRITE | FORCE_WRITE][random(3)] ?? 0;
    const requests: readonly (readonly number[])[] = [
      [PHYSMEM.create.label, random(3) === 0 ? handle(own) : own],
      [PHYSMEM.allocate.label, handle(own), 0, pages(32), pages(32)],
      [PHYSMEM.deallocate.label, handle(own), pages(32), pages(32)],
      [PHYSMEM.copy.label, handle(own), pages(32), handle(own), pages(32), pages(32), [0, COPY_SHARED, SQUASH][random(3)] ?? 0],
      [PHYSMEM.map.label, handle(own), rights, 0x2000_0000 + pages(64), pages(32), pages(32)],
      [PHYSMEM.controlSplit.label, handle(own), random(5)],
      [PHYSMEM.release.label, handle(own), pages(32), pages(32)],
      [
        PHYSMEM.copyVector.label,
        handle(own),
        handle(own),
        [0, COPY_SHARED, COPY_IN_PLACE][random(3)] ?? 0,
        pages(32),
        pages(32),
        pages(32),
        pages(32),
      ],
      [PHYSMEM.pin.label, handle(own), pages(32), pages(4), 1 + random(500), random(2) * MAP_WRITE],
      [PHYSMEM.share.label, handle(own), random(8), random(70), random(1000)],
      [PHYSMEM.createWith.label, own, pages(8), 0, 3, 1 + random(63), random(1000)],
      [PHYSMEM.createFrom.label, own, handle(own), pages(32), pages(8), 0, 3, 1 + random(63), 0],
      [PHYSMEM.copyCapability.label, handle(own), random(8)],
      [PHYSMEM.revoke.label, handle(own), random(8)],
      [random(2) === 0 ? PHYSMEM.destroy.label : PHYSMEM.controlDestroy.label, handle(own)],
    ];
    const [label = 0, ...words] = requests[random(requests.length)] ?? [];
    l4.message.begin(label);
    for (const value of words) l4.message.append(value);
  }

  function garbage(l4: L4, to: ThreadId, own: number): void {
    const { message } = l4;
    message.begin(to === wortel ? random(75) * 256 + random(16) : (labels[random(labels.length + 8)] ?? 16 * random(16) - 128));
    message.untyped = random(10);
    message.typed = random(5) === 0 ? random(54) : 0;
    for (let i = 1; i <= 63; i++) {
      if (random(2) === 0) message.setWord(i, word());
      else message.setHalves(i, random(2 ** 32), random(2 ** 32));
    }
    if (random(2) === 0) message.setWord(1, handle(own));
    if (random(20) === 0) l4.propagateAs = servers[random(4)] ?? NIL;
  }

  /** Sends what is in the message registers. @returns whether it was answered with success */
  function* ask(l4: L4, to: ThreadId): Generator<L4Wait, boolean> {
    const error = yield* l4.ipc(to, to, LIMIT, LIMIT);
    return error === 0 && l4.message.label === 0;
  }

  const left = withStack({ xlen }, function* ({ l4, check }) {
    const { message } = l4;
    let own = 0; // handle of the task's control; its container comes next
    for (let client = 1; own === 0; client++) {
      message.begin(PHYSMEM.controlInfo.label);
      message.append(client * scale + 1);
      if (yield* ask(l4, physmem)) own = client * scale + 1;
    }
    const made: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const to = servers[random(4)] ?? physmem;
      if (to === physmem && random(2) === 0) wellFormed(l4, own);
      else garbage(l4, to, own);
      const { label } = message;
      if (to === wortel && label >> 8 === WORTEL_MSG_SHUTDOWN) continue;
      if (to === physmem && isSuicide(label, [message.word(1), message.word(3)], own)) continue;
      l4.acceptor = random(3) === 0 ? word() : ACCEPT_ALL;
      if (!(yield* ask(l4, to)) || to !== physmem) continue;
      if (!makers.includes(label)) continue;
      made.push(message.word(1));
      held.push(message.word(1));
      if (held.length > 8) held.shift();
    }
    l4.propagateAs = NIL;
    yield* l4.sleep(MAX_HOLD_US); // what is pinned lets go
    for (const each of made) {
      for (const method of [PHYSMEM.destroy, PHYSMEM.controlDestroy]) {
        message.begin(method.label);
        message.append(each);
        yield* ask(l4, physmem);
      }
    }
    check();
    message.begin(PHYSMEM.controlInfo.label);
    message.append(own);
    expect(yield* ask(l4, physmem)).toBe(true);
    expect(made.length).toBeGreaterThan(20);
  });
  expect(left).toEqual({ held: 0, lost: 0 });
});
