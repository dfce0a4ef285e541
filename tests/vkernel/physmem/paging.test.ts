/** physmem as the pager of last resort, on the booted stack: a thread whose own memory nobody else pages. */
import { expect, test } from 'vitest';
import { EFAULT, ENOENT } from '../../../hostkernel/base/errno.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import { type L4, type L4Wait, type ThreadId, threadId, timeout, USER_BASE, XR_PAGER } from '../../../vkernel/l4/user.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { PAGE, withStack } from '../../userland/libhurd-mm/stack.ts';

const LIMIT = timeout(2000); // microseconds: a handle that is not ours gets no answer
const AT = 0x2000_0000; // where the container is to be seen

/** The handle of the task's own control: the first of the client's, which is the one that answers. */
function* ownControl(l4: L4, physmem: ThreadId, scale: number): Generator<L4Wait, number> {
  const { message } = l4;
  for (let client = 1; ; client += 1) {
    message.begin(PHYSMEM.controlInfo.label);
    message.append(client * scale + 1);
    if ((yield* l4.ipc(physmem, physmem, LIMIT, LIMIT)) === 0 && message.label === 0) return client * scale + 1;
  }
}

test.each([64, 32] as const)('a thread lives on the default container of its task, on a %i-bit machine', (xlen) => {
  const physmem = threadId(USER_BASE + 3, 2, xlen);
  const left = withStack({ xlen }, function* ({ l4, pager, revoke, check }) {
    const control = yield* ownControl(l4, physmem, xlen === 64 ? 2 ** 32 : 2 ** 18);
    expect(yield* invoke(l4, physmem, PHYSMEM.create, control)).toBe(0);
    const container = l4.message.word(1);
    expect(yield* invoke(l4, physmem, PHYSMEM.allocate, container, 0, 0, 4 * PAGE)).toBe(0);
    l4.exchangeRegisters(l4.id, XR_PAGER, 0, 0, 0, 0, physmem);
    expect(yield* l4.store32(AT, 1)).toBe(EFAULT); // nothing is named yet
    expect(yield* invoke(l4, physmem, PHYSMEM.setDefaultContainer, container, AT, 5 * PAGE)).toBe(0);
    for (let page = 0; page < 4; page += 1) expect(yield* l4.store32(AT + page * PAGE + 8, 100 + page)).toBe(0);
    revoke(); // physmem takes everything away: it comes back by faults
    for (let page = 0; page < 4; page += 1) expect(yield* l4.load32(AT + page * PAGE + 8)).toBe(100 + page);
    expect(yield* invoke(l4, physmem, PHYSMEM.create, control)).toBe(0);
    const copied = l4.message.word(1);
    expect(yield* invoke(l4, physmem, PHYSMEM.copy, container, 0, copied, 0, 4 * PAGE, 0)).toBe(0);
    expect(yield* l4.store32(AT + 8, 7)).toBe(0); // the copy keeps what was there
    expect(yield* invoke(l4, physmem, PHYSMEM.setDefaultContainer, copied, AT, 4 * PAGE)).toBe(0);
    revoke();
    expect([yield* l4.load32(AT + 8), yield* l4.load32(AT + PAGE + 8)]).toEqual([100, 101]);
    expect(yield* invoke(l4, physmem, PHYSMEM.deallocate, copied, 0, PAGE)).toBe(0);
    expect(yield* l4.load32(AT)).toBe(-ENOENT);
    expect(yield* invoke(l4, physmem, PHYSMEM.setDefaultContainer, copied, AT, 0)).toBe(0);
    revoke();
    expect(yield* l4.load32(AT + PAGE)).toBe(-EFAULT);
    for (const each of [container, copied]) expect(yield* invoke(l4, physmem, PHYSMEM.destroy, each)).toBe(0);
    l4.exchangeRegisters(l4.id, XR_PAGER, 0, 0, 0, 0, pager);
    check();
  });
  expect(left).toEqual({ held: 0, lost: 0 });
});
