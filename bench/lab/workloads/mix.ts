/** Several programs that take turns on one processor, each in an address space of its own. */
import { type Batch, SWITCH } from '../stream.ts';
import type { Pattern } from './pattern.ts';

export interface MixPart {
  readonly space: number;
  readonly pattern: Pattern;
  /** Operations in one turn. */
  readonly turn: number;
}

export function mix(parts: readonly MixPart[]): Pattern {
  let at = parts.length - 1;
  let left = 0;
  return {
    records: 1 + Math.max(...parts.map(({ pattern }) => pattern.records)),
    step(batch: Batch): void {
      if (left === 0) {
        at = at + 1 === parts.length ? 0 : at + 1;
        left = parts[at].turn;
        batch.control(SWITCH, parts[at].space, 0, 0);
      }
      left--;
      parts[at].pattern.step(batch);
    },
  };
}
