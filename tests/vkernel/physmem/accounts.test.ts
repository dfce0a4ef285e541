/**
 * Random lives of tasks under a policy server that says anything: honest, silent, lying and greedy ones, that split
 * controls, share pages and die, with requests outstanding or not. After every step the accounts are right (I12, I13,
 * N4), nobody within the guarantee is refused (N5), and nobody is asked for more than is extra, or twice (N7).
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ENOMEM } from '../../../hostkernel/base/errno.ts';
import type { Container } from '../../../vkernel/physmem/core/container.ts';
import { abandonControl, type MemoryControl } from '../../../vkernel/physmem/core/control.ts';
import { NO_ENTRY } from '../../../vkernel/physmem/core/frame-table.ts';
import { WAIT } from '../../../vkernel/physmem/core/physmem.ts';
import { ABSENT, BUSY, SENT } from '../../../vkernel/physmem/core/returns.ts';
import { ALL_OR_NONE, COPY_SHARED, EXTRA, SOFT, SQUASH } from '../../../vkernel/physmem/interface.ts';
import { HEADER_COMMITS, HEADER_POLICY, ROW_WORDS } from '../../../vkernel/physmem/policy-layout.ts';
import { PolicyRig } from './policy-rig.ts';

const PAGES = 24; // of a container
const TASKS = 5;
/** Until a fault within the guarantee is served: a busy thread is tried for a deadline and has another, then a second request. */
const BOUND = 2 * (2 * 10_000 + 1000);

const KINDS = [
  'allocate',
  'copy',
  'share',
  'write',
  'deallocate',
  'squash',
  'split',
  'absorb',
  'destroy',
  'abandon',
  'start',
  'guarantee',
  'garbage',
  'commit',
  'answer',
  'pass',
] as const;
const WEIGHTS = [16, 8, 6, 30, 6, 3, 2, 1, 0.5, 0.5, 1, 6, 1, 2, 4, 4].map((weight) => 2 * weight);

interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly a: number;
  readonly b: number;
  readonly page: number;
  readonly count: number;
  readonly extra: boolean;
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(...KINDS.map((kind, i) => ({ arbitrary: fc.constant(kind), weight: WEIGHTS[i] }))),
  a: fc.nat(1000),
  b: fc.nat(1000),
  page: fc.nat(PAGES - 1),
  count: fc.oneof(fc.constantFrom(1, 2, 4, 8), fc.integer({ min: 1, max: PAGES })),
  extra: fc.constantFrom(true, true, false),
});

class Life {
  readonly rig: PolicyRig;
  controls: MemoryControl[];
  containers: Container[] = [];
  #isPolicyHere = false;

  constructor(pages: number, isPolicyHere: boolean) {
    this.rig = new PolicyRig(pages, { copyPages: 4, times: { retries: 1 } });
    this.controls = [this.rig.machine.physmem.root];
    for (let task = 1; task <= TASKS; task += 1) {
      const made = this.rig.machine.physmem.splitControl(this.controls[0], 0, task);
      if (made !== null) this.#add(made);
    }
    if (!isPolicyHere) return;
    this.#isPolicyHere = true;
    this.rig.introduce();
    for (let task = 1; task <= TASKS; task += 1) this.rig.guarantee(task, Math.floor(pages / TASKS));
    this.rig.commit();
  }

  take(step: Step): void {
    const { machine } = this.rig;
    const { physmem } = machine;
    const { a, b, page, extra } = step;
    const count = Math.min(step.count, PAGES - page);
    const control = this.controls[a % this.controls.length];
    const container = this.containers[a % Math.max(1, this.containers.length)];
    const other = this.containers[b % Math.max(1, this.containers.length)];
    const flags = extra ? EXTRA : 0;
    switch (step.kind) {
      case 'start': {
        const made = physmem.splitControl(physmem.root, step.count, 1 + (a % TASKS));
        if (made !== null) this.#add(made);
        return;
      }
      case 'split': {
        const made = physmem.splitControl(control, step.count % 8);
        if (made !== null) this.#add(made);
        return;
      }
      case 'absorb':
        physmem.absorbControl(control, step.count % 8);
        return;
      case 'destroy':
        physmem.destroyControl(control);
        return;
      case 'abandon':
        if (control.parent === null) return;
        for (const each of control.containers) physmem.destroy(each);
        if (control.alive) abandonControl(physmem, control);
        return;
      case 'guarantee':
        this.rig.guarantee(1 + (a % TASKS), Math.floor((this.rig.accounts.pages * (b % 5)) / 8), b % 3 > 0);
        return;
      case 'garbage':
        if (b % 8 === 0) this.rig.words.store(HEADER_POLICY, a % 2);
        else this.rig.words.store(((ROW_WORDS * b) % (ROW_WORDS * TASKS)) + (a % ROW_WORDS), (a * 2654435761) % 2 ** 32);
        return;
      case 'commit':
        if (!this.#isPolicyHere) this.rig.introduce();
        this.#isPolicyHere = true;
        this.rig.words.store(HEADER_COMMITS, (this.rig.words.load(HEADER_COMMITS) + 1) % 2 ** 32);
        return;
      case 'answer':
        this.rig.answers.set(1 + (a % TASKS), [SENT, SENT, BUSY, ABSENT][b % 4]);
        return;
      case 'pass':
        this.rig.pass([0, 100, 1000, 5000, 10_000][a % 5]);
        return;
      default:
    }
    if (container === undefined || other === undefined) return;
    switch (step.kind) {
      case 'allocate':
        return this.#allocate(container, page, count, flags);
      case 'squash':
        return void machine.allocate(container, page, count, flags | SQUASH);
      case 'copy':
        return void machine.copy(container, page, other, b % (PAGES - count + 1), count, flags | (b % 2 === 0 ? SQUASH : ALL_OR_NONE));
      case 'share':
        return void machine.copy(container, page, other, b % (PAGES - count + 1), count, flags | COPY_SHARED | SQUASH);
      case 'deallocate':
        return void machine.deallocate(container, page, count, extra ? SOFT : 0);
      case 'write':
        return this.#writeAll(container, page, count);
      default:
    }
  }

  check(): void {
    this.controls = this.controls.filter((each) => each.alive && !each.abandoned);
    this.containers = this.containers.filter((each) => each.alive);
    if (this.#isPolicyHere) this.rig.accounts.refresh(); // garbage over our words is written over
    if (this.#isPolicyHere && this.rig.accounts.isInForce()) this.rig.check();
    this.rig.machine.audit.run();
  }

  end(): void {
    const { machine } = this.rig;
    const { physmem } = machine;
    for (const child of physmem.root.children) physmem.destroyControl(child);
    for (const container of physmem.root.containers) physmem.destroy(container);
    expect([machine.use, physmem.accounts.used, physmem.accounts.asked, physmem.root.limit]).toEqual([0, 0, 0, physmem.accounts.pages]);
  }

  #add(control: MemoryControl): void {
    this.controls.push(control);
    this.containers.push(this.rig.machine.create(control));
  }

  /** What is not extra is let in as far as the guarantee goes, and no further. */
  #allocate(container: Container, page: number, count: number, flags: number): void {
    const { machine, accounts } = this.rig;
    const { control } = container;
    const { principal } = control;
    const error = machine.allocate(container, page, count, flags);
    if (flags !== 0 || error !== ENOMEM || !accounts.isInForce()) return;
    const left = principal.task === 0 ? control.unused : Math.min(control.unused, principal.guaranteed - principal.allocated);
    if (left > 0) throw new Error(`N5: refused with ${left} pages of its guarantee left`);
  }

  #writeAll(container: Container, page: number, count: number): void {
    for (let at = page; at < page + count; at += 1) {
      if (container.alive && container.entries.at(at) !== NO_ENTRY) this.#write(container, at);
    }
  }

  /** A write within the guarantee succeeds, if need be when others have returned what is extra. */
  #write(container: Container, page: number): void {
    const { machine, accounts } = this.rig;
    const { principal } = container.control;
    const since = machine.time;
    let result = machine.write(container, page, page);
    while (result === WAIT) {
      if (machine.time - since > BOUND) throw new Error(`N5: not served after ${machine.time - since} microseconds`);
      this.rig.pass(Math.min(1000, Math.max(1, machine.physmem.returns.nextDue - machine.time)));
      result = machine.write(container, page, page);
    }
    if (result === ENOMEM && accounts.isInForce() && principal.isWithinGuarantee) throw new Error('N5: no memory within the guarantee');
  }
}

test('whatever tasks and the policy server do, the accounts are right and guarantees hold', () => {
  const anyLife = fc.record({
    pages: fc.constantFrom(10, 24, 60),
    isPolicyHere: fc.oneof(fc.constant(true), fc.boolean()),
    steps: fc.array(anyStep, { minLength: 20, maxLength: 60, size: 'max' }),
  });
  let requests = 0;
  fc.assert(
    fc.property(anyLife, ({ pages, isPolicyHere, steps }) => {
      const life = new Life(pages, isPolicyHere);
      for (const step of steps) {
        life.take(step);
        life.check();
      }
      life.end();
      requests += life.rig.asked.length;
    }),
    { numRuns: 100 },
  );
  expect(requests).toBeGreaterThan(5); // about 40: else nothing was tried
});
