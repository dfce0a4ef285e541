/** What the laboratory's user can cause: a record or a configuration that makes no sense. Nothing is half done where it is thrown. */
export class LabError extends Error {
  override readonly name = 'LabError';
  /** Number of the record that is refused, counted over the whole stream from 0, or -1. */
  record = -1;
}
