/** The step that all copies share: entries on the frames of others. */

import { kassert } from '../../../hostkernel/base/assert.ts';
import { type Container, charge } from './container.ts';
import { forgetSoft } from './deallocate.ts';
import { type FrameId, NO_ENTRY } from './frame-table.ts';
import { cover, revokeWrite } from './frames.ts';
import type { Physmem } from './physmem.ts';
import { isDeviceWritten } from './pinned.ts';
import { physicalCopy } from './reserve.ts';

/**
 * Puts entries on the frames of source pages [from, from + pages), all present, at destination pages from `to` on.
 * Where a device may write the source, pages are copied at once into what was set aside.
 */
export function copyPages(
  pm: Physmem,
  source: Container,
  from: number,
  destination: Container,
  to: number,
  pages: number,
  shared: boolean,
): void {
  const { table } = pm;
  for (let done = 0; done < pages; ) {
    const entry = source.entries.at(from + done);
    kassert(entry !== NO_ENTRY, 'physmem: copying an absent page');
    const frame = table.frame[entry] as FrameId;
    const inEntry = from + done - table.start[entry];
    const count = Math.min((1 << table.log2[entry]) - inEntry, pages - done);
    const offset = table.offset[entry] + inEntry;
    forgetSoft(pm, destination, to + done, to + done + count);
    if (!shared && isDeviceWritten(pm, entry)) {
      for (let i = 0; i < count; i += 1) {
        cover(pm, destination, to + done + i, physicalCopy(pm, frame, offset + i), 0, 1, table.newGroup());
      }
    } else {
      if (!shared) revokeWrite(pm, frame);
      cover(pm, destination, to + done, frame, offset, offset + count, shared ? table.group[entry] : table.newGroup());
    }
    charge(destination, count);
    done += count;
  }
}
