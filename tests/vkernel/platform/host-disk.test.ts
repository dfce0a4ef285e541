/** A disk of the host as the vkernel has it: frames to blocks and back, refusals, and the same through kernels in between. */
import { expect, test } from 'vitest';
import { EIO, ENOSPC, EROFS } from '../../../hostkernel/base/errno.ts';
import { type GuestFrame, READ, WRITE } from '../../../hostkernel/base/units.ts';
import { type PolledDisk, polledDisk, SparseStore } from '../../../hostkernel/machine/index.ts';
import { type HostDisk, Platform } from '../../../vkernel/platform/index.ts';
import { body, format, nestOf } from '../nest/rig.ts';

const PAGE = 4096;

/** Calls `use` in a platform of a kernel `depth` kernels deep, on a machine whose only disk is `disk`. */
function withDisk(
  depth: number,
  disk: PolledDisk,
  use: (disk: HostDisk, fill: (frame: number, byte: number) => void, byte: (frame: number) => number) => void,
): void {
  const disks = new Map([['/dev/swap0', disk]]);
  const nest = nestOf(
    depth,
    body(function* main(host) {
      const platform = Platform.create(host, { format: format('vpte-64-nx'), memoryBytes: 256 * PAGE, reservedFrames: 64 });
      if (typeof platform === 'number') throw new Error(`no platform: ${platform}`);
      expect(platform.openDisk('/dev/swap1')).toBe(-EROFS);
      const opened = platform.openDisk('/dev/swap0');
      if (typeof opened === 'number') throw new Error(`no disk: ${opened}`);
      const { image } = platform;
      use(
        opened,
        (frame, byte) => void image.bytes.fill(byte, image.offset(frame, WRITE), image.offset(frame, WRITE) + PAGE),
        (frame) => image.bytes[image.offset(frame, READ) + PAGE - 1],
      );
      return 0;
    }),
    { disks },
  );
  expect(nest.finish()).toEqual({ code: 0 });
}

for (const depth of [0, 1, 2]) {
  test(`frames come back from the disk as they went there, ${depth} kernels deep`, () => {
    withDisk(depth, polledDisk(new SparseStore(), 50), (disk, fill, byte) => {
      expect(disk.slots).toBe(50);
      for (let i = 0; i < 20; i++) fill(100 + i, i + 1);
      expect(disk.write(8, 100 as GuestFrame, 20)).toBe(0);
      expect(disk.read(10, 150 as GuestFrame, 18)).toBe(0);
      expect(Array.from({ length: 18 }, (_, i) => byte(150 + i))).toEqual(Array.from({ length: 18 }, (_, i) => i + 3));
      expect(disk.write(48, 100 as GuestFrame, 4)).toBe(EIO); // two blocks fit
      expect(disk.write(50, 100 as GuestFrame, 1)).toBe(ENOSPC);
      expect(disk.read(48, 100 as GuestFrame, 4)).toBe(EIO);
    });
  });
}

test('an error of the device, and a transfer that ends early, are EIO', () => {
  const store = { read: (block: number) => block !== 3, write: (block: number) => block !== 3 };
  withDisk(1, polledDisk(store, 50), (disk) => {
    for (const [slot, pages] of [
      [3, 1],
      [2, 2],
      [0, 8],
    ] as const) {
      expect(disk.write(slot, 100 as GuestFrame, pages)).toBe(EIO);
      expect(disk.read(slot, 100 as GuestFrame, pages)).toBe(EIO);
    }
    expect(disk.write(4, 100 as GuestFrame, 8)).toBe(0);
  });
});
