/** The policy server on the real kernel, beside the real physmem and task server. */
import { expect, test } from 'vitest';
import { EPERM } from '../../../hostkernel/base/errno.ts';
import { Tracer } from '../../../hostkernel/base/trace.ts';
import { invoke } from '../../../vkernel/cap/rpc.ts';
import { PHYSMEM } from '../../../vkernel/physmem/interface.ts';
import { fixedPolicy } from '../../../vkernel/policy/fixed.ts';
import { policyServer } from '../../../vkernel/policy/server.ts';
import { withRoot } from '../wortel/system.ts';

const GUARANTEES = [3, 4, 5].map((task) => ({ task, pages: 16 }));

test('J1 J15 the policy capability is given once, at boot; a stranger gets neither it nor the buffer', () => {
  const log: string[] = [];
  const policy = policyServer(
    { policy: fixedPolicy(), rootTask: 5, tracer: new Tracer(), log: (who, text) => void log.push(`${who}: ${text}`) },
    GUARANTEES,
  );
  withRoot({ policy }, function* ({ l4, data }) {
    for (let i = 0; i < 2; i += 1) expect(yield* invoke(l4, data.physmem, PHYSMEM.getControl)).toBe(EPERM);
    for (const handle of [0, 1, data.memoryControl, data.masterControl, data.memoryControl + 1]) {
      expect(yield* invoke(l4, data.physmem, PHYSMEM.getPolicyBuffer, handle, 0x4000_0000)).toBe(EPERM);
      expect(l4.message.typed).toBe(0);
    }
  });
  expect(log).toEqual(['policy: fixed: divides 893 frames among 3 tasks']);
});
