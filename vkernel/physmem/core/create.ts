/** Containers that are made with contents: all of it, or no container. The container is `pm.created`. */

import { PAGE_SIZE } from '../../../hostkernel/base/units.ts';
import { ALL_OR_NONE } from '../interface.ts';
import { allocate } from './allocate.ts';
import type { Container } from './container.ts';
import type { MemoryControl } from './control.ts';
import { copy } from './copy.ts';
import { copyVector } from './copy-vector.ts';
import type { Physmem } from './physmem.ts';

/** A container with fresh pages: [0, size) as `allocate` makes them. @returns 0, or its errno */
export function createWith(pm: Physmem, control: MemoryControl, size: number, flags: number): number {
  const container = begin(pm, control);
  return end(pm, container, allocate(pm, container, flags | ALL_OR_NONE, 0, size));
}

/** A container with a copy of source bytes [start, start + size), at 0. @returns 0, or what `copy` does */
export function createFrom(pm: Physmem, control: MemoryControl, source: Container, start: number, size: number, flags: number): number {
  const container = begin(pm, control);
  return end(pm, container, copy(pm, source, start, container, 0, size, flags | ALL_OR_NONE));
}

/** A container with copies of the source pages at `starts`, bytes, one behind the other. @returns 0, or what `copyVector` does */
export function createGather(pm: Physmem, control: MemoryControl, source: Container, starts: ArrayLike<number>, flags: number): number {
  const container = begin(pm, control);
  const list = new Float64Array(2 * starts.length);
  for (let i = 0; i < starts.length; i += 1) {
    list[2 * i] = starts[i];
    list[2 * i + 1] = i * PAGE_SIZE;
  }
  return end(pm, container, copyVector(pm, source, container, list, flags | ALL_OR_NONE));
}

function begin(pm: Physmem, control: MemoryControl): Container {
  pm.created = null;
  return pm.create(control);
}

function end(pm: Physmem, container: Container, error: number): number {
  if (error === 0) pm.created = container;
  else pm.destroy(container);
  return error;
}
