/**
 * Defects that the suite must catch. X1 to X11 are those of the published hurd-l4 code; where their cause cannot exist
 * here, what they did to clients is put in by other means, and `instead` says why. The rest is forgetfulness of our own.
 */

import type { Patch } from './patched.ts';

export interface Defect {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Where a test's name begins so, it is tried first; else random lives are. */
  readonly by?: string;
  /** Why the historical cause cannot be put in. */
  readonly instead?: string;
  /** Shows only where assertions are compiled away, as they were there. */
  readonly withoutAssertions?: boolean;
}

/** One replacement in one file of the core. */
function patch(file: string, find: string, replace: string): Patch {
  return { file: `core/${file}.ts`, find, replace };
}

export const HISTORICAL: readonly Defect[] = [
  {
    name: 'X1 an entry is used that is no longer the one of the page',
    by: 'C1 ',
    instead: 'moving a group makes and frees no entries; what can be out of date is the entry after a split',
    patches: [
      patch(
        'access',
        'entry = entryAt(container, page)) {\n    const frame = table.frame[entry] as FrameId;\n    if (!isCopyOnWrite',
        ') {\n    const frame = table.frame[entry] as FrameId;\n    if (!isCopyOnWrite',
      ),
    ],
  },
  {
    name: 'X2 a step stands inside an assertion',
    instead: 'there is one build; the suite itself is run with and without assertions',
    withoutAssertions: true,
    patches: [patch('deallocate', '  detach(table, entry);\n', "  kassert((detach(table, entry), true), 'carve');\n")],
  },
  {
    name: 'X3 memory that a promise never had is freed',
    patches: [patch('deallocate', 'if ((table.state[frame] & PLACE) === BOUND) {', 'if ((table.state[frame] & PLACE) <= BOUND) {')],
  },
  {
    name: 'X3 half of a promise has an address',
    patches: [
      patch('frames', 'isSomewhere ? table.address[frame] + half : 0', 'table.address[frame] + half'),
      patch('frames', 'table.newFrame(size, table.state[frame], ', 'table.newFrame(size, table.state[frame] | BOUND, '),
    ],
  },
  {
    name: 'X4 an entry that reaches past the end of the hole is refused',
    by: 'E3 ',
    patches: [
      patch(
        'deallocate',
        '  container.entries.remove(entry);\n',
        `  container.entries.remove(entry);
  for (let other = table.first[frame]; other !== NO_ENTRY; other = table.next[other]) {
    const [o, n] = [table.offset[other], 1 << table.log2[other]];
    if (other !== entry && o < offset + to - start && o + n > offset + to - start && n < 1 << table.size[frame]) throw new Error('survivor');
  }
`,
      ),
    ],
  },
  {
    name: 'X5 false sharers that stay behind count as owners',
    by: 'E4 ',
    instead: 'groups are not counted; those left behind join the other group, with the same effect',
    patches: [
      patch(
        'access',
        '    if (table.offset[entry] >>> size !== offset >>> size) continue;\n',
        `    if (table.offset[entry] >>> size !== offset >>> size) {
      for (let e = table.first[frame]; e !== NO_ENTRY; e = table.next[e]) if (table.group[e] !== group) table.group[entry] = table.group[e];
      continue;
    }
`,
      ),
    ],
  },
  {
    name: 'X6 groups are miscounted',
    instead: 'there is no count; the derived answer looks at two entries only',
    patches: [
      patch(
        'frame-table',
        'entry = table.next[entry]) {\n    if (table.group[entry] !== group) return true;',
        'entry = NO_ENTRY) {\n    if (table.group[entry] !== group) return true;',
      ),
    ],
  },
  {
    name: 'X7 a container that is destroyed drops its entries, and leaves frames uncovered',
    patches: [
      patch(
        'physmem',
        '    vacate(this, container, 0, this.limitPages, lazy);\n',
        `    for (const entry of container.entries.toArray()) {
      const frame = this.table.frame[entry];
      const size = 1 << this.table.log2[entry];
      if (this.table.next[this.table.first[frame]] === 0) {
        vacate(this, container, this.table.start[entry], this.table.start[entry] + size);
        continue;
      }
      container.entries.remove(entry);
      charge(container, -size);
      const [next, prev] = [this.table.next[entry], this.table.prev[entry]];
      if (prev === 0) this.table.first[frame] = next;
      else this.table.next[prev] = next;
      if (next !== 0) this.table.prev[next] = prev;
      this.table.frame[entry] = 0;
      this.table.freeEntry(entry);
    }
`,
      ),
    ],
  },
  {
    name: 'X8 the room in a reply is judged one item too late',
    by: 'B2 ',
    patches: [patch('map', 'while (page < end && sink.room > 0) {', 'while (page < end && sink.room >= 0) {')],
  },
  {
    name: 'X9 allocate takes any size',
    by: 'A4 ',
    patches: [patch('allocate', 'if (size === 0 || !isRange(pm, start, size)) return EINVAL;', '')],
  },
  {
    name: 'X9 copy takes any destination',
    by: 'arguments',
    patches: [patch('copy', ' || !isRange(pm, destinationStart, size)', '')],
  },
  {
    name: 'X10 no memory left is a failed assertion',
    by: 'G3 ',
    patches: [
      patch(
        'access',
        'function refuse(pm: Physmem, why: number): EntryId {\n',
        "function refuse(pm: Physmem, why: number): EntryId {\n  kassert(false, 'no memory');\n",
      ),
    ],
  },
  {
    name: 'X11 starts are compared in 32 bits, of bytes',
    by: 'entries more',
    patches: [
      patch(
        'entry-set',
        'if (start[chunks[middle].ids[0]] <= page) low',
        'if ((((start[chunks[middle].ids[0]] - page) * 4096) | 0) <= 0) low',
      ),
      patch('entry-set', 'if (start[ids[middle]] <= page) low', 'if ((((start[ids[middle]] - page) * 4096) | 0) <= 0) low'),
    ],
  },
];

export const FORGOTTEN: readonly Defect[] = [
  {
    name: 'deallocating does not flush',
    patches: [patch('deallocate', "if (container.kind === 'user') flushEntry(", 'if (table.size[frame] > 99) flushEntry(')],
  },
  { name: 'the last user does not flush', patches: [patch('deallocate', '  flushFrame(pm, frame);\n', '  table.granted[frame] = 0;\n')] },
  {
    name: 'a copy that is made does not flush',
    patches: [patch('access', '  flush(pm, frame, offset, size, table.granted[frame]);\n', '')],
  },
  { name: 'a logical copy leaves its source writable', patches: [patch('copy-pages', 'if (!shared) revokeWrite(pm, frame);', '')] },
  { name: 'LAZY does not mark the frame', patches: [patch('frames', '    table.state[frame] |= STALE;\n', '')] },
  {
    name: 'LAZY does not ask whether anybody may write',
    patches: [patch('frames', '(table.granted[frame] & MAP_WRITE) !== 0 || (table.state', '(table.state')],
  },
  {
    name: 'LAZY does not ask whether a device writes',
    by: 'a page that a device writes',
    patches: [patch('frames', ' || (table.state[frame] & PINNED) !== 0;', ';')],
  },
  {
    name: 'WRITE is granted on a stale frame',
    patches: [patch('map', 'if ((rights & MAP_WRITE) !== 0 && (table.state[frame] & STALE) !== 0) flushFrame(pm, frame);', '')],
  },
  { name: 'a move does not flush', patches: [patch('move', '  flushFrame(pm, frame);\n', '')] },
  {
    name: 'a write-out does not flush',
    by: 'a page given up lazily that swap',
    patches: [
      patch('inactive', '  flushFrame(pm, frame);\n  const wasFailing', '  const wasFailing'),
      patch('inactive', '  flushFrame(pm, frame);\n  enlist', '  table.granted[frame] = 0;\n  enlist'),
    ],
  },
  {
    name: 'memory is freed before it is written out',
    patches: [
      patch(
        'inactive',
        '  const isWritten = swap.write(',
        '  pm.memory.zero(table.address[frame] as GuestFrame, pages);\n  const isWritten = swap.write(',
      ),
    ],
  },
  {
    name: 'a write that failed counts as done',
    by: 'L8 ',
    patches: [patch('inactive', '  if (isWritten) {', '  if (isWritten || pages > 0) {')],
  },
  {
    name: 'revoking a weak capability does not flush',
    by: 'H2 ',
    patches: [patch('share', 'flushContainer(pm, container);\n  pm.retired', 'pm.retired')],
  },
  { name: 'a lock leaves the owner what it can write', by: 'H4 ', patches: [patch('locks', '  takeWrite(pm, weak, from, to);\n', '')] },
  {
    name: 'a pin does not keep a copy from sharing',
    by: 'H7 ',
    patches: [patch('copy-pages', 'if (!shared && isDeviceWritten(pm, entry)) {', 'if (table.size[frame] > 99) {')],
  },
  {
    name: 'a pinned group moves when it is written',
    patches: [patch('access', 'const isHeld = isGroupPinned(pm, base, false);', 'const isHeld = false;')],
  },
  { name: 'copying in place does not flush', by: 'F8 ', patches: [patch('in-place', '  flushFrame(pm, target);\n', '')] },
  { name: 'fresh memory is not cleared', patches: [patch('access', '    pm.memory.zero(address, 1 << size);\n', '')] },
  { name: 'an allocation is not charged', patches: [patch('allocate', '    charge(container, piece);\n', '')] },
  { name: 'a copy is not charged', patches: [patch('copy-pages', '    charge(destination, count);\n', '')] },
  { name: 'rights are not recorded', patches: [patch('map', '  table.granted[frame] |= rights;\n', '')] },
  {
    name: 'the half of a frame forgets what was granted',
    patches: [patch('frames', '  table.granted[upper] = table.granted[frame];\n', '')],
  },
  { name: 'a flush of a part counts for the whole', patches: [patch('frames', '  if (size !== table.size[frame]) return;\n', '')] },
  {
    name: 'WRITE is granted to what is copied on write',
    patches: [patch('map', '(wanted & MAP_WRITE) !== 0 && isCopyOnWrite(table, frame) ? wanted & ~MAP_WRITE : wanted', 'wanted')],
  },
  {
    name: 'a copy shares the group of its source',
    patches: [patch('copy-pages', 'shared ? table.group[entry] : table.newGroup()', 'table.group[entry]')],
  },
  {
    name: 'a group breaks alone, without its sharers',
    by: 'D7 ',
    patches: [patch('access', 'const base = movable(pm, baseOf(table, entry));', 'const base = movable(pm, entry);')],
  },
  {
    name: 'a soft reference is kept when the place is used again',
    patches: [patch('allocate', '    forgetSoft(pm, container, at, at + piece);\n', '')],
  },
  {
    name: 'more is asked back than is extra',
    by: 'attack',
    patches: [patch('returns', 'const count = Math.min(principal.extra, missing);', 'const count = missing;')],
  },
  {
    name: 'a raised guarantee may exceed what is left',
    by: 'attack',
    patches: [patch('principals', 'if (more > 0 && more > this.root.control.unused) return false;', '')],
  },
  {
    name: 'nobody is punished',
    by: 'attack',
    patches: [patch('returns', 'if (request.sent) this.#punish(principal);', 'if (request.sent) continue;')],
  },
];
