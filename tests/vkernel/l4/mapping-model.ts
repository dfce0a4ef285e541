/**
 * The slow judge of the mapping database: an explicit set of (space, page) -> frame, rights, parent, and a note for
 * every mapping of what happened through it and has not been reported yet. One object a mapping, searched linearly.
 */
export interface ModelMapping {
  space: number;
  page: number;
  frame: number;
  rights: number; // r4 w2 x1
  parent: ModelMapping | null; // null: sigma0's
  own: number; //   status not yet reported to the owner
  below: number; // status of derived mappings not yet reported to the owner
}

export class MappingModel {
  mappings: ModelMapping[] = [];

  at(space: number, page: number): ModelMapping | undefined {
    return this.mappings.find((m) => m.space === space && m.page === page);
  }

  childrenOf(parent: ModelMapping): ModelMapping[] {
    return this.mappings.filter((m) => m.parent === parent);
  }

  private isAncestor(candidate: ModelMapping, mapping: ModelMapping | null): boolean {
    for (let m = mapping; m !== null; m = m.parent) if (m === candidate) return true;
    return false;
  }

  remove(mapping: ModelMapping): void {
    for (const child of this.childrenOf(mapping)) this.remove(child);
    this.mappings = this.mappings.filter((m) => m !== mapping);
  }

  private reduce(mapping: ModelMapping, taken: number): void {
    mapping.rights &= ~taken;
    for (const child of this.childrenOf(mapping)) this.reduce(child, taken);
  }

  /** Page of sigma0 or of a space, or nothing. */
  private source(space: number, page: number): { frame: number; rights: number; mapping: ModelMapping | null } | null {
    if (space < 0) return { frame: page, rights: 7, mapping: null };
    const mapping = this.at(space, page);
    return mapping === undefined ? null : { frame: mapping.frame, rights: mapping.rights, mapping };
  }

  map(from: number, page: number, to: number, target: number, rights: number): void {
    const source = this.source(from, page);
    if (source === null) return;
    const granted = rights & source.rights;
    if ((granted & 4) === 0) return;
    const existing = this.at(to, target);
    if (existing !== undefined && existing === source.mapping) return;
    if (existing !== undefined && existing.frame === source.frame) {
      this.extend(existing, source.mapping, source.rights, granted);
      return;
    }
    if (existing !== undefined) this.remove(existing);
    this.mappings.push({ space: to, page: target, frame: source.frame, rights: granted, parent: source.mapping, own: 0, below: 0 });
  }

  private extend(existing: ModelMapping, source: ModelMapping | null, sourceRights: number, granted: number): void {
    const want = existing.rights | granted;
    const above = existing.parent === null ? 7 : existing.parent.rights;
    if ((want & ~above) === 0) existing.rights = want;
    else if ((want & ~sourceRights) === 0 && !this.isAncestor(existing, source)) {
      existing.parent = source;
      existing.rights = want;
    } else existing.rights |= granted & above;
  }

  grant(from: number, page: number, to: number, target: number, rights: number): void {
    const source = this.at(from, page);
    if (source === undefined) return;
    const granted = rights & source.rights;
    if ((granted & 4) === 0) return;
    const existing = this.at(to, target);
    if (existing === source) return;
    if (existing !== undefined && existing.frame === source.frame) {
      this.extend(existing, source, source.rights, granted);
      for (const child of this.childrenOf(source)) child.parent = source.parent;
      this.mappings = this.mappings.filter((m) => m !== source);
      return;
    }
    if (existing !== undefined) this.remove(existing);
    this.reduce(source, ~granted & 7);
    source.space = to;
    source.page = target;
  }

  /** @returns the status report */
  revoke(space: number, page: number, rights: number, flush: boolean): number {
    const mapping = this.at(space, page);
    if (mapping === undefined) return 0;
    let status = mapping.below;
    mapping.below = 0;
    if (flush) {
      status |= mapping.own;
      mapping.own = 0;
    }
    for (const victim of flush ? [mapping] : this.childrenOf(mapping)) {
      if ((rights & 4) !== 0) this.remove(victim);
      else this.reduce(victim, rights);
    }
    return status;
  }

  /** Somebody reads or writes. @returns whether it is allowed */
  access(space: number, page: number, write: boolean): boolean {
    const mapping = this.at(space, page);
    if (mapping === undefined || (write && (mapping.rights & 2) === 0)) return false;
    const status = write ? 6 : 4;
    mapping.own |= status;
    for (let above = mapping.parent; above !== null; above = above.parent) above.below |= status;
    return true;
  }
}
