/** Cuts a stream of bytes into lines of text. */
import { TraceError } from './reader.ts';

/** A line longer than this is no line of a trace, and would be kept whole. */
const LONGEST = 65_536; // bytes
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

export class TextLines {
  readonly #line: (text: string, offset: number) => void;
  readonly #decoder = new TextDecoder('latin1');
  #rest: Uint8Array = new Uint8Array(0);
  #offset = 0; // of the next line

  /** @param line is called with each line, without its end, and its offset in the stream */
  constructor(line: (text: string, offset: number) => void) {
    this.#line = line;
  }

  feed(bytes: Uint8Array): void {
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      this.#give(this.#join(bytes.subarray(from, end)), 1);
      from = end + 1;
    }
    this.#rest = this.#join(bytes.subarray(from)).slice();
  }

  #join(bytes: Uint8Array): Uint8Array {
    if (this.#rest.length + bytes.length > LONGEST)
      throw new TraceError(this.#offset, `a line of more than ${LONGEST} bytes: this is no text trace`);
    if (this.#rest.length === 0) return bytes;
    const joined = new Uint8Array(this.#rest.length + bytes.length);
    joined.set(this.#rest);
    joined.set(bytes, this.#rest.length);
    this.#rest = new Uint8Array(0);
    return joined;
  }

  #give(line: Uint8Array, newline: number): void {
    const length = line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length;
    const offset = this.#offset;
    this.#offset += line.length + newline;
    this.#line(this.#decoder.decode(line.subarray(0, length)), offset);
  }

  /** The last line may lack its newline. */
  end(): void {
    if (this.#rest.length === 0) return;
    const line = this.#rest;
    this.#rest = new Uint8Array(0);
    this.#give(line, 0);
  }
}

/** Halves of a hexadecimal number of up to 16 digits, or null. */
export function hexHalves(text: string): { readonly lo: number; readonly hi: number } | null {
  if (!/^[0-9a-fA-F]{1,16}$/.test(text)) return null;
  return { lo: Number.parseInt(text.slice(-8), 16) | 0, hi: text.length > 8 ? Number.parseInt(text.slice(0, -8), 16) | 0 : 0 };
}

/** A page and the offset in it, as hexadecimal digits. */
export function hexAddress(page: number, offset: number): string {
  const upper = page.toString(16);
  return page === 0 ? offset.toString(16) : `${upper}${offset.toString(16).padStart(3, '0')}`;
}
