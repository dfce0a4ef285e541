/** A descriptor that cannot be compiled. Descriptors come from users, so it is no panic; `field` says where to look. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
  readonly layout: string;
  readonly field: string;

  constructor(layout: string, field: string, reason: string) {
    super(`layout ${layout}: ${field}: ${reason}`);
    this.layout = layout;
    this.field = field;
  }
}
