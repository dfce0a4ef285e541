/** Threads as a person reads them. */

/** A global thread id as number:task, for either word size. */
export const thread = (id: number): string =>
  id > 0xffff_ffff ? `${Math.floor(id / 2 ** 32)}:${id % 2 ** 32}` : `${id >>> 14}:${id & 0x3fff}`;
