/**
 * How many accesses a second does the timing model make, and what does that depend on? The default machine with all its
 * structures, counters on, one core: accesses that hit the TLB; random ones over 1 GiB, natively and with a host, and over
 * more memory and more accesses, which should change nothing per access.
 *
 * Reported first: references per walk, which repeat exactly. Times are of the processor, the best of several rounds, and
 * also as a ratio to a plain loop that does nothing but draw the same random numbers and read one word for each.
 */
import { EXEC, READ, WRITE } from '../../../hostkernel/base/units.ts';
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_USER,
  compileLayout,
  layoutByName,
  type PageTableFormat,
} from '../../../hostkernel/machine/index.ts';
import {
  DEFAULT_MACHINE,
  machineByName,
  PageTables,
  TableMemory,
  TRANSLATED,
  Translation,
} from '../../../hostkernel/machine/timing/index.ts';
import { cpuTimes } from '../../cpu-time.ts';
import { type Files, Suite } from '../../suite.ts';

const ROUNDS = 3;
const ACCESSES = 200_000; // a round
const FIRST_PAGE = 2 ** 20;
const GIB = 2 ** 18; // pages
const EVERYTHING = READ | WRITE | EXEC | ATTR_USER | ATTR_ACCESSED | ATTR_DIRTY;
const FOOTPRINTS = [1, 16, 64]; // GiB

function formatOf(name: string): PageTableFormat {
  const layout = layoutByName(name);
  if (layout === null) throw new Error(`no layout ${name}`);
  return compileLayout(layout);
}

/** Tables of `name`, from frame `firstTable` on, in which `pages` are mapped in order by `map`. */
function tablesOf(name: string, firstTable: number, map: (tables: PageTables, root: number) => void) {
  const format = formatOf(name);
  const memory = new TableMemory({ firstFrame: firstTable });
  const tables = new PageTables(format, memory);
  const root = tables.createRoot();
  map(tables, root);
  return { format, memory, root };
}

/** A guest with `pages` of 4 KiB in 4-level tables, alone or over a host with 4-level tables. */
function modelOf(pages: number, isNested: boolean): Translation {
  const machine = machineByName(DEFAULT_MACHINE);
  if (machine === null) throw new Error('no default machine');
  const [guestTables, data] = [0x1000, 2 ** 18];
  const guest = tablesOf('x86-64-4l', guestTables, (tables, root) => {
    for (let i = 0; i < pages; i++) tables.map(root, FIRST_PAGE + i, data + i, 12, EVERYTHING);
  });
  const host = tablesOf('ept-4l', 2 ** 26, (tables, root) => {
    if (!isNested) return;
    for (let frame = guestTables; frame < guest.memory.end / 4096; frame++) tables.map(root, frame, frame, 12, EVERYTHING);
    for (let i = 0; i < pages; i++) tables.map(root, data + i, data + i, 12, EVERYTHING);
  });
  const model = new Translation({ machine, dimensions: isNested ? [guest, host] : [guest] });
  model.setSpace(0, { root: guest.root });
  if (isNested) model.setRoot(1, host.root);
  return model;
}

/** One round of reads of random words in the first `pages` pages; both random numbers are drawn as the plain loop draws them. */
function access(model: Translation, pages: number, accesses: number): number {
  let [x, y] = [1 + model.counters.accesses, 1];
  for (let i = 0; i < accesses; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    y = (Math.imul(y, 22695477) + 1) | 0;
    const page = ((x >>> 8) + (y >>> 31) * 2 ** 23) % pages;
    if (model.access(FIRST_PAGE + page, (y >>> 12) & 0xff8, READ) !== TRANSLATED) throw new Error('an access was refused');
  }
  return model.walkCycles;
}

const words = new Int32Array(1024);
function plain(accesses: number): number {
  let [x, y, sum] = [1, 1, 0];
  for (let i = 0; i < accesses; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    y = (Math.imul(y, 22695477) + 1) | 0;
    sum = (sum + words[(x >>> 22) ^ (y >>> 30)]) | 0;
  }
  return sum;
}

/** Prints a line: what was done, references a walk, nanoseconds an access, millions a second, and times the plain loop. */
function report(suite: Suite, title: string, model: Translation, pages: number, accesses = ACCESSES): void {
  access(model, pages, accesses); // fills the structures
  const before = model.counters;
  access(model, pages, accesses);
  const { walks, references } = model.counters;
  const perWalk = walks === before.walks ? 0 : (references - before.references) / (walks - before.walks);
  suite.counts(title, { accesses, walks: walks - before.walks, references: references - before.references });
  const [times, base] = cpuTimes(ROUNDS, [() => access(model, pages, accesses), () => plain(16 * accesses)]);
  suite.times(title, times.samples);
  const nanoseconds = (times.best * 1e6) / accesses;
  const ratio = nanoseconds / ((base.best * 1e6) / (16 * accesses));
  const memory = process.memoryUsage().rss / 2 ** 20;
  console.log(
    `  ${title.padEnd(34)}${perWalk.toFixed(2).padStart(8)}${nanoseconds.toFixed(0).padStart(8)}${(1000 / nanoseconds).toFixed(1).padStart(8)}${ratio.toFixed(0).padStart(8)}${memory.toFixed(0).padStart(8)}`,
  );
}

export function run(): Files {
  const suite = new Suite('timing');
  console.log('  what                              refs/walk      ns     M/s   plain     MiB');
  report(suite, 'hits: 32 pages', modelOf(GIB, true), 32);
  report(suite, 'native, 1 GiB', modelOf(GIB, false), GIB);
  for (const gib of FOOTPRINTS) report(suite, `nested, ${gib} GiB`, modelOf(gib * GIB, true), gib * GIB);
  report(suite, 'nested, 1 GiB, four times as long', modelOf(GIB, true), GIB, 4 * ACCESSES);
  return suite.files();
}
