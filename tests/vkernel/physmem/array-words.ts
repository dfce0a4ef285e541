/** The rows of a policy buffer in plain memory. */

import type { Words } from '../../../vkernel/physmem/core/policy-buffer.ts';
import { MIN_CAPACITY_LOG2, ROW_WORDS } from '../../../vkernel/physmem/policy-layout.ts';

export class ArrayWords implements Words {
  readonly words = new Uint32Array(ROW_WORDS * 2 ** MIN_CAPACITY_LOG2);

  load(index: number): number {
    return this.words[index];
  }

  store(index: number, value: number): void {
    this.words[index] = value;
  }
}
