/** The reference for who may hold how much: memory controls and their charges. What pages contain is in cells.ts. */

export class Ledger {
  readonly parent: Ledger | null;
  limit: number;
  used = 0;

  constructor(parent: Ledger | null, limit: number) {
    this.parent = parent;
    this.limit = limit;
  }

  get unused(): number {
    return this.limit - this.used;
  }

  isBelow(ancestor: Ledger): boolean {
    return this === ancestor || (this.parent !== null && this.parent.isBelow(ancestor));
  }
}
