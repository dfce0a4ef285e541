/**
 * The hardware walk: follows the page tables of an address space in RAM, and maintains accessed and dirty bits.
 *
 *   root -> [entry] -> table -> [entry] -> ... -> leaf -> frame of the address
 *              |                   |
 *              +---- classify, then: refuse, follow, or judge the access
 *
 * It is compiled from a descriptor and gives the results of `reference.ts`, which says the same more slowly and shares
 * nothing with it. Tables instead of patterns, halves instead of bigints, one record for all results:
 * bench/hostkernel/machine/paging.bench.ts has the ratios. What it does not do: caching (the TLB's business) and policy
 * (the fault path's).
 *
 * Two ways in. compileWalk() is the machine's: one stage, from the frame of a root table. compileWalker() is the
 * laboratory's: from root registers, through a second stage if there is one, noting every reference if asked to.
 */
import { kassert } from '../../base/assert.ts';
import { type Access, READ, WRITE } from '../../base/units.ts';
import type { LayoutDescriptor, Options } from './descriptor.ts';
import { geometryOf, PERMISSIONS } from './entries.ts';
import { type PageTableFormat, swap32 } from './format.ts';
import { EntryJudge, MAX_LEVELS, STEP_INDIRECT, STEP_TABLE } from './judge.ts';
import { compilePlainWalk } from './plain-walk.ts';
import { rootMaskOf, upperBitsOf, WALK_BUS, WALK_HIT, WALK_NONCANONICAL, WALK_NOT_PRESENT } from './walk-tables.ts';

/** The memory a walk reads and writes. Byte a of physical memory is byte base + a of `i32`. */
export interface WalkMemory {
  readonly base: number;
  readonly frames: number;
  readonly i32: Int32Array;
}

/** What the last walk found. One record for all walks of a walker: it is overwritten. */
export interface WalkResult {
  /** The 4 KiB frame of the address, also inside a large page. It may lie outside RAM. Only after a hit. */
  frame: number;
  /** log2 of the page's size in bytes; of the smaller page, if there are two stages. Only after a hit. */
  pageShift: number;
  /** What is permitted, and the accessed and dirty bits, after this access has set them. Only after a hit. */
  attributes: number;
  /** Level of the leaf, or of the entry that refused. */
  level: number;
  /** Entries read. */
  references: number;
}

/** What a walk from registers adds. */
export interface WalkerResult extends WalkResult {
  /** Whose entry refused: 1 or 2. */
  stage: number;
  /** Stage 2 refused while an entry of stage 1 was being read or updated. */
  implicit: boolean;
  /** The entry that refused. */
  entryLo: number;
  entryHi: number;
  /** After a hit, the address that stage 1 gave, as a frame; after a refusal of stage 2, the address it refused. */
  guestFrame: number;
  guestOffset: number; // bytes in the frame
  /** Level of the second stage's leaf; -1 if there is none. Only after a hit. */
  level2: number;
  /** Physical addresses of the entries read, and whose they are: the first `references`, if the walker keeps them. */
  readonly addresses: Float64Array;
  readonly stages: Uint8Array;
}

/**
 * Translates one address. Hot: allocates nothing.
 *
 * A refused walk has written nothing, except in virtual-page-table formats, which set A and M while descending.
 * @param root frame of the root table, in every format: a fixed root entry is the hardware's own
 * @param vaLo lower half of the byte address, signed or not; vaHi the upper
 * @param access READ, WRITE, EXEC or several: all must be permitted
 * @returns WALK_HIT or the refusal
 */
export type Walk = (root: number, vaLo: number, vaHi: number, access: Access) => number;

export interface HardwareWalk {
  readonly walk: Walk;
  readonly result: WalkResult;
}

/**
 * The walk of `format` in `ram`, for user or supervisor mode.
 * @throws LayoutError if the descriptor uses what no walk can do
 */
export function compileWalk(format: PageTableFormat, ram: WalkMemory, mode: 'user' | 'super' = 'user'): HardwareWalk {
  return compilePlainWalk(format, ram, mode) ?? compileAnyWalk(format, ram, mode);
}

/** The same for any format, in the way that takes nothing for granted. */
export function compileAnyWalk(format: PageTableFormat, ram: WalkMemory, mode: 'user' | 'super'): HardwareWalk {
  const { descriptor, options } = format;
  const stage = compileStage({ layout: descriptor, options, memory: ram, mode, keepsReferences: false, second: null, number: 1 });
  const top = format.levels - 1;
  const { walk, result, isUpper, refuse } = stage;
  if (isUpper === null) return { walk: (root, vaLo, vaHi, access) => walk(top, root << 12, root >>> 20, vaLo, vaHi, access), result };
  return {
    walk: (root, vaLo, vaHi, access) => {
      if (isUpper(vaLo, vaHi)) return refuse(WALK_NONCANONICAL, top, 0); // there is no upper root
      return walk(top, root << 12, root >>> 20, vaLo, vaHi, access);
    },
    result,
  };
}

/** The registers a walk from registers begins with, in halves. Set them before the walk. */
export interface WalkRegisters {
  rootLo: number;
  rootHi: number;
  /** The root of addresses with ones on top, where the format has two. */
  hasUpperRoot: boolean;
  upperRootLo: number;
  upperRootHi: number;
  /** Root of the second stage. */
  secondRootLo: number;
  secondRootHi: number;
}

export interface Walker {
  readonly registers: WalkRegisters;
  /** Translates one address, as Walk does, from the registers. Hot: allocates nothing. */
  readonly walk: (vaLo: number, vaHi: number, access: Access) => number;
  readonly result: WalkerResult;
}

export interface WalkerSetup {
  readonly layout: LayoutDescriptor;
  readonly options?: Options; // those that differ from the descriptor's defaults
  readonly memory: WalkMemory;
  readonly mode: 'user' | 'super';
  readonly keepsReferences?: boolean; // note the address of each entry read
  readonly second?: { readonly layout: LayoutDescriptor; readonly options?: Options };
}

/**
 * A walk from root registers, through one stage or two.
 * @throws LayoutError if a descriptor uses what no walk can do
 */
export function compileWalker(setup: WalkerSetup): Walker {
  const { layout, memory, mode, second } = setup;
  const keepsReferences = setup.keepsReferences === true;
  const registers: WalkRegisters = {
    rootLo: 0,
    rootHi: 0,
    hasUpperRoot: false,
    upperRootLo: 0,
    upperRootHi: 0,
    secondRootLo: 0,
    secondRootHi: 0,
  };
  const shared = { memory, keepsReferences };
  let host: SecondStage | null = null;
  if (second !== undefined) {
    const { layout: inner } = second;
    const options = { ...inner.options, ...second.options };
    const stage = compileStage({ ...shared, layout: inner, options, mode: 'user', second: null, number: 2 });
    const { tableReadsWriteOpt: option } = inner;
    const entryAccess = option !== undefined && options[option] === 1 ? WRITE : READ;
    host = { stage, registers, top: inner.levels.length - 1, ...rootMaskOf(inner), entryAccess };
  }
  const stage = compileStage({ ...shared, layout, options: { ...layout.options, ...setup.options }, mode, second: host, number: 1 });
  const { walk: walkTables, result, isUpper } = stage;
  const top = layout.levels.length - 1;
  const { maskLo, maskHi } = rootMaskOf(layout);
  const walk = (vaLo: number, vaHi: number, access: Access): number => {
    if (isUpper !== null && isUpper(vaLo, vaHi)) {
      if (registers.hasUpperRoot) {
        return walkTables(top, registers.upperRootLo & maskLo, registers.upperRootHi & maskHi, vaLo, vaHi, access);
      }
      return stage.refuse(WALK_NONCANONICAL, top, 0);
    }
    return walkTables(top, registers.rootLo & maskLo, registers.rootHi & maskHi, vaLo, vaHi, access);
  };
  return { registers, walk, result };
}

// --------------------------------------------------------------------------------------------------------- one stage

const MAX_REFERENCES = (MAX_LEVELS + 2) ** 2; // each entry of stage 1, one of them indirect, and the data through all of stage 2

interface SecondStage {
  readonly stage: Stage;
  readonly registers: WalkRegisters;
  readonly top: number;
  readonly maskLo: number;
  readonly maskHi: number;
  readonly entryAccess: Access; // what reading an entry of stage 1 counts as
}

interface StageSetup {
  readonly layout: LayoutDescriptor;
  readonly options: Options;
  readonly memory: WalkMemory;
  readonly mode: 'user' | 'super';
  readonly keepsReferences: boolean;
  readonly second: SecondStage | null;
  readonly number: 1 | 2;
}

interface Stage {
  /** Walks from `level` on: (tableLo, tableHi) is the address of its table, or, above the tables, the value of the root entry. */
  readonly walk: (level: number, tableLo: number, tableHi: number, vaLo: number, vaHi: number, access: Access) => number;
  readonly refuse: (fault: number, level: number, references: number) => number;
  readonly isUpper: ((vaLo: number, vaHi: number) => boolean) | null; // the address is the upper root's
  readonly result: WalkerResult;
  readonly log: Log;
}

/** What both stages of a walk write down. */
interface Log {
  /** Updates of words to be made when the walk has succeeded: word = (word | set) & ~clear. */
  pending: number;
  readonly words: Int32Array;
  readonly sets: Int32Array;
  readonly clears: Int32Array;
  /** References before the present walk of stage 2; whether they are noted. */
  before: number;
  isNoting: boolean;
  readonly addresses: Float64Array;
  readonly stages: Uint8Array;
}

function compileStage(setup: StageSetup): Stage {
  const { layout, options, memory, mode, second } = setup;
  kassert(memory.base % 4 === 0 && memory.frames <= 2 ** 20, 'paging: RAM is at most 4 GiB, in words');
  const { i32 } = memory;
  const baseWord = memory.base / 4;
  const limit = memory.frames * 4096;

  const geometry = geometryOf(layout);
  const { levels } = geometry;
  const lows = Int32Array.from(geometry.lows);
  const masks = Int32Array.from([...geometry.bits.map((bits) => 2 ** bits - 1), 0]);
  const wide = layout.entryBytes === 8;
  const entryShift = wide ? 3 : 2;
  const swaps = layout.endian === 'be';
  const loWord = swaps && wide ? 1 : 0; // of the words of an entry
  const hiWord = 1 - loWord;
  const fixedValue = layout.root.kind === 'value' ? levels : -1; // the level of a root entry that is in no table

  const judge = new EntryJudge(layout, options, mode);
  const { upperLo, upperHi, onesAllowed, isSplit } = upperBitsOf(layout, options);

  const log = second?.stage.log ?? newLog(setup.keepsReferences);
  const isOutermost = setup.number === 1;
  const result: WalkerResult = {
    frame: 0,
    pageShift: 0,
    attributes: 0,
    level: 0,
    references: 0,
    stage: setup.number,
    implicit: false,
    entryLo: 0,
    entryHi: 0,
    guestFrame: 0,
    guestOffset: 0,
    level2: -1,
    addresses: log.addresses,
    stages: log.stages,
  };
  // Through a second stage: entries to be updated, as (address, word, changes), until it has allowed each write.
  const own = new Int32Array(second === null ? 0 : (MAX_LEVELS + 2) * OWN_FIELDS);

  function refuse(fault: number, level: number, references: number): number {
    result.level = level;
    result.references = references;
    result.stage = setup.number;
    result.implicit = false;
    return fault;
  }

  function refuseEntry(fault: number, level: number, references: number, lo: number, hi: number): number {
    result.entryLo = lo;
    result.entryHi = hi;
    return refuse(fault, level, references);
  }

  /** Makes stage 2's refusal of an address ours. `implicit`: the address of an entry. */
  function refuseSecond(fault: number, addressLo: number, addressHi: number, references: number, implicit: boolean): number {
    const inner = (second as SecondStage).stage.result;
    result.level = inner.level;
    result.references = references;
    result.stage = 2;
    result.implicit = implicit;
    result.entryLo = inner.entryLo;
    result.entryHi = inner.entryHi;
    result.guestFrame = (addressHi >>> 0) * 1048576 + (addressLo >>> 12);
    result.guestOffset = addressLo & 4095;
    return fault;
  }

  /** Translates an address of ours by stage 2. */
  function translate(addressLo: number, addressHi: number, access: Access): number {
    const { stage, registers, top, maskLo, maskHi } = second as SecondStage;
    return stage.walk(top, registers.secondRootLo & maskLo, registers.secondRootHi & maskHi, addressLo, addressHi, access);
  }

  /** Puts the changes of an entry on the list of those made at the end. */
  function defer(word: number, setLo: number, clearLo: number, setHi: number, clearHi: number): void {
    let at = log.pending;
    if ((setLo | clearLo) !== 0) {
      log.words[at] = word + loWord;
      log.sets[at] = swaps ? swap32(setLo) : setLo;
      log.clears[at++] = swaps ? swap32(clearLo) : clearLo;
    }
    if ((setHi | clearHi) !== 0) {
      log.words[at] = word + hiWord;
      log.sets[at] = swaps ? swap32(setHi) : setHi;
      log.clears[at++] = swaps ? swap32(clearHi) : clearHi;
    }
    log.pending = at;
  }

  function store(word: number, lo: number, hi: number): void {
    i32[word + loWord] = swaps ? swap32(lo) : lo;
    if (wide) i32[word + hiWord] = swaps ? swap32(hi) : hi;
  }

  function walk(from: number, rootLo: number, rootHi: number, vaLo: number, vaHi: number, access: Access): number {
    const beyondLo = vaLo & upperLo;
    const beyondHi = vaHi & upperHi;
    if ((beyondLo | beyondHi) !== 0 && !(onesAllowed && beyondLo === upperLo && beyondHi === upperHi)) {
      return refuse(WALK_NONCANONICAL, from, 0);
    }
    if (isOutermost) log.pending = 0;
    judge.begin();
    let tableLo = rootLo;
    let tableHi = rootHi;
    let references = 0;
    let owned = 0;
    for (let level = from; ; level--) {
      // Read the entry, and the one it names if it only does that. The value of a root register is in no table.
      let word = -1;
      let lo = tableLo;
      let hi = tableHi;
      let atLo = 0;
      let atHi = 0;
      if (level !== fixedValue) {
        const low = lows[level];
        const index = (low < 32 ? (vaLo >>> low) | (vaHi << (32 - low)) : vaHi >>> (low - 32)) & masks[level];
        const sum = (tableLo >>> 0) + (index << entryShift);
        atLo = sum | 0;
        atHi = sum >= 4294967296 ? tableHi + 1 : tableHi;
      }
      let step = STEP_INDIRECT;
      for (let reads = 0; step === STEP_INDIRECT; reads++) {
        if (level !== fixedValue) {
          let at = (atLo >>> 0) + (atHi >>> 0) * 4294967296;
          if (second !== null) {
            log.before = references;
            const fault = translate(atLo, atHi, second.entryAccess);
            references += second.stage.result.references;
            if (fault !== WALK_HIT) return refuseSecond(fault, atLo, atHi, references, true);
            at = second.stage.result.frame * 4096 + (atLo & 4095);
          }
          if (at >= limit) return refuse(WALK_BUS, level, references);
          if (log.isNoting) note(at, references);
          word = baseWord + (at >>> 2);
          lo = i32[word + loWord];
          hi = wide ? i32[word + hiWord] : 0;
          if (swaps) {
            lo = swap32(lo);
            hi = swap32(hi);
          }
          references++;
        }
        step = judge.step(level, lo, hi, vaLo, vaHi, access, word >= 0);
        if (step !== STEP_INDIRECT) break;
        if (reads === 1) return refuseEntry(WALK_NOT_PRESENT, level, references, lo, hi);
        atLo = judge.tableLo;
        atHi = judge.tableHi;
      }

      // What the hardware changes on its way down.
      const onWayLo = judge.onWayLo;
      const onWayHi = judge.onWayHi;
      if (onWayLo !== lo || onWayHi !== hi) {
        if (second !== null) {
          const fault = mayWrite(atLo, atHi);
          if (fault !== WALK_HIT) return refuseSecond(fault, atLo, atHi, references, true);
        }
        store(word, onWayLo, onWayHi);
      }
      if (step > 0) return refuseEntry(step, level, references, onWayLo, onWayHi);
      const newLo = judge.newLo;
      const newHi = judge.newHi;
      if (step === STEP_TABLE) {
        if (newLo !== onWayLo || newHi !== onWayHi) {
          if (second === null) defer(word, newLo & ~onWayLo, onWayLo & ~newLo, newHi & ~onWayHi, onWayHi & ~newHi);
          else owned = keep(owned, word, atLo, atHi, newLo ^ onWayLo, newHi ^ onWayHi, newLo, newHi);
        }
        tableLo = judge.tableLo;
        tableHi = judge.tableHi;
        continue;
      }
      lo = onWayLo;
      hi = onWayHi;
      let { frame, pageShift, attributes } = judge;

      // It may: accessed and dirty bits, everywhere or nowhere.
      if (second === null) {
        if (newLo !== lo || newHi !== hi) {
          if (isOutermost && log.pending === 0) store(word, newLo, newHi);
          else defer(word, newLo & ~lo, lo & ~newLo, newHi & ~hi, hi & ~newHi);
        }
      } else {
        if (newLo !== lo || newHi !== hi) owned = keep(owned, word, atLo, atHi, newLo ^ lo, newHi ^ hi, newLo, newHi);
        for (let i = 0; i < owned; i++) {
          const fault = mayWrite(own[i * OWN_FIELDS + OWN_AT_LO], own[i * OWN_FIELDS + OWN_AT_HI]);
          if (fault !== WALK_HIT) {
            return refuseSecond(fault, own[i * OWN_FIELDS + OWN_AT_LO], own[i * OWN_FIELDS + OWN_AT_HI], references, true);
          }
          deferOwn(i);
        }
        const guestLo = (frame * 4096) | (vaLo & 4095);
        const guestHi = Math.floor(frame / 1048576) | 0;
        log.before = references;
        const fault = translate(guestLo, guestHi, access);
        const inner = second.stage.result;
        references += inner.references;
        if (fault !== WALK_HIT) return refuseSecond(fault, guestLo, guestHi, references, false);
        result.guestFrame = frame;
        result.guestOffset = vaLo & 4095;
        result.level2 = inner.level;
        frame = inner.frame;
        pageShift = Math.min(pageShift, inner.pageShift);
        attributes &= inner.attributes | ~PERMISSIONS;
      }
      if (isOutermost && log.pending > 0) commit(log, i32);
      result.frame = frame;
      result.pageShift = pageShift;
      result.attributes = attributes;
      result.level = level;
      result.references = references;
      return WALK_HIT;
    }
  }

  /** Notes a reference to the entry at physical `address`. */
  function note(address: number, references: number): void {
    const at = isOutermost ? references : log.before + references;
    log.addresses[at] = address;
    log.stages[at] = setup.number;
  }

  /** Whether stage 2 lets us write the entry at this address, which we have read: WALK_HIT or its refusal. Notes no references. */
  function mayWrite(atLo: number, atHi: number): number {
    const wasNoting = log.isNoting;
    log.isNoting = false;
    const fault = translate(atLo, atHi, WRITE);
    log.isNoting = wasNoting;
    return fault;
  }

  /** Remembers changes of an entry of ours until stage 2 allows them. Returns how many there are. */
  function keep(
    count: number,
    word: number,
    atLo: number,
    atHi: number,
    changedLo: number,
    changedHi: number,
    newLo: number,
    newHi: number,
  ): number {
    const at = count * OWN_FIELDS;
    own[at] = word;
    own[at + OWN_AT_LO] = atLo;
    own[at + OWN_AT_HI] = atHi;
    own[at + 3] = changedLo & newLo;
    own[at + 4] = changedLo & ~newLo;
    own[at + 5] = changedHi & newHi;
    own[at + 6] = changedHi & ~newHi;
    return count + 1;
  }

  function deferOwn(i: number): void {
    const at = i * OWN_FIELDS;
    defer(own[at], own[at + 3], own[at + 4], own[at + 5], own[at + 6]);
  }

  const isUpper = isSplit ? (vaLo: number, vaHi: number) => (vaLo & upperLo) === upperLo && (vaHi & upperHi) === upperHi : null;
  return { walk, refuse, isUpper, result, log };
}

const OWN_FIELDS = 7; // word, address in two halves, then set and clear of both halves
const OWN_AT_LO = 1;
const OWN_AT_HI = 2;

function newLog(keepsReferences: boolean): Log {
  // Every entry read may change, in both halves; those of stage 1 are walked to once more.
  const most = 4 * MAX_REFERENCES;
  return {
    pending: 0,
    words: new Int32Array(most),
    sets: new Int32Array(most),
    clears: new Int32Array(most),
    before: 0,
    isNoting: keepsReferences,
    addresses: new Float64Array(keepsReferences ? MAX_REFERENCES : 0),
    stages: new Uint8Array(keepsReferences ? MAX_REFERENCES : 0),
  };
}

/** Makes the updates on the list. */
function commit(log: Log, i32: Int32Array): void {
  for (let at = 0; at < log.pending; at++) {
    const word = log.words[at];
    i32[word] = (i32[word] | log.sets[at]) & ~log.clears[at];
  }
}
