/**
 * The reference for what containers hold: each page of each container is absent or names a cell, which has a value. It
 * knows no frames, no groups and no memory. What is permitted, and what it costs, is beside it (ledger.ts).
 *
 *   shared copy   names the same cell            write     changes the cell
 *   logical copy  a new cell of the same value   in place  writes the values of the source through
 */

export interface Cell {
  value: number;
}

export type CopyMode = 'cow' | 'shared' | 'move' | 'in place';

export class Cells {
  readonly containers: (Cell | null)[][] = [];
  readonly soft: Map<number, number>[] = []; // a container's pages that may come back, and their values

  addContainer(pages: number): number {
    this.soft.push(new Map());
    return this.containers.push(Array.from({ length: pages }, () => null)) - 1;
  }

  /** Fresh zero pages, in place of whatever is there. */
  renew(at: number, page: number, count: number): void {
    for (let i = page; i < page + count; i += 1) this.#put(at, i, { value: 0 });
  }

  remove(at: number, page: number, count: number, remembered = false): void {
    for (let i = page; i < page + count; i += 1) {
      const cell = this.containers[at][i];
      this.containers[at][i] = null;
      if (remembered && cell !== null) this.soft[at].set(i, cell.value);
    }
  }

  copy(from: number, page: number, to: number, toPage: number, count: number, mode: CopyMode): void {
    for (let i = 0; i < count; i += 1) {
      const cell = this.#present(from, page + i);
      if (mode === 'in place') this.#present(to, toPage + i).value = cell.value;
      else this.#put(to, toPage + i, mode === 'cow' ? { value: cell.value } : cell);
      if (mode === 'move') this.containers[from][page + i] = null;
    }
  }

  /** @param swapped values by id, of one principal */
  swapOut(at: number, page: number, count: number, swapped: Map<number, number>, firstId: number): void {
    for (let i = 0; i < count; i += 1) swapped.set(firstId + i, this.#present(at, page + i).value);
    this.renew(at, page, count);
  }

  swapIn(at: number, page: number, swapped: Map<number, number>, id: number, kept: boolean): void {
    this.#put(at, page, { value: swapped.get(id) as number });
    if (!kept) swapped.delete(id);
  }

  recover(at: number, page: number): void {
    this.#put(at, page, { value: this.soft[at].get(page) as number });
  }

  #put(at: number, page: number, cell: Cell): void {
    this.containers[at][page] = cell;
    this.soft[at].delete(page);
  }

  #present(at: number, page: number): Cell {
    const cell = this.containers[at][page];
    if (cell === null) throw new Error(`page ${page} of container ${at} is absent`);
    return cell;
  }
}
