/** What `vkernel lab work` and `lab sweep --queue` refuse. What they do over Redis: tests/bench/lab/node/queue.test.ts. */
import { expect, test } from 'vitest';
import { vkernel } from './in-process.ts';

const NOBODY = 'redis://user:secret@127.0.0.1:1';

test.each([
  [['lab', 'work'], 2, /required option '--queue/],
  [['lab', 'work', '--queue', 'here'], 1, /--queue: no address of a queue: redis:/],
  [['lab', 'work', '--queue', NOBODY], 1, /--queue: redis:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/],
  [['lab', 'work', '--queue', NOBODY, '--workers', '0'], 2, /--workers: '0' is no number from 1/],
  [['lab', 'work', '--queue', NOBODY, '--workers', '1e2'], 2, /--workers: '1e2'/],
  [['lab', 'work', '--queue', NOBODY, '--patience', '-1'], 2, /--patience: '-1' is no number of seconds/],
  [['lab', 'sweep', '--queue', NOBODY, '--workers', '2'], 2, /--workers: with --queue the workers are elsewhere/],
] as const)('%j ends with %i', async (args, status, says) => {
  const said = await vkernel(...args);
  expect([said.status, said.stdout]).toEqual([status, '']);
  expect(said.stderr).toMatch(says);
  expect(said.stderr).not.toContain('secret');
});
