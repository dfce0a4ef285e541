/**
 * Processor time of a piece of work, for figures that are quoted: other processes on the machine disturb it less than
 * they disturb the clock on the wall. benny, which the other suites use, knows only that clock.
 */

/** Processor time of one call, user and system, all threads of this process; ms. */
export interface CpuTimes {
  readonly best: number;
  readonly median: number;
  /** All of them, as they came. */
  readonly samples: readonly number[];
}

/** A case that has been called once before it counts. */
const WARM_UP = 1;

/**
 * Calls all cases in turn, `rounds` times, so that what disturbs the machine disturbs all of them.
 * @param cases each long enough to be timed: 20 ms or more
 * @returns times, in the order of the cases
 */
export function cpuTimes(rounds: number, cases: readonly (() => unknown)[]): readonly CpuTimes[] {
  const times = cases.map((): number[] => []);
  for (let round = -WARM_UP; round < rounds; round++) {
    cases.forEach((work, i) => {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) times[i].push((user + system) / 1000);
    });
  }
  return times.map(summary);
}

/** The shortest and the median of some times, with all of them. */
export function summary(times: readonly number[]): CpuTimes {
  const sorted = times.toSorted((a, b) => a - b);
  return { best: sorted[0], median: sorted[sorted.length >>> 1], samples: times };
}
