/** The program a user names on the command line, as bytes, with a shell's exit codes for what is wrong with it. */
import { type ElfImage, parseElf } from '../../hostkernel/base/elf.ts';
import { ENOENT, ENOTDIR, errnoText } from '../../hostkernel/base/errno.ts';
import { readHostFile } from '../posix/node/provider.ts';

/** A program that cannot be run: one line, and 127 where there is none of that name, else 126. */
export interface Refusal {
  readonly text: string;
  readonly status: 126 | 127;
}

export interface ProgramFile {
  readonly bytes: Uint8Array;
  readonly image: ElfImage;
}

/** Reads and checks the program at `path` of this machine. What is no regular file is refused, never waited for. */
export function readProgram(path: string): ProgramFile | Refusal {
  const bytes = readHostFile(path);
  if (typeof bytes === 'number') {
    const errno = bytes === -ENOTDIR ? ENOENT : -bytes; // a path through a file names nothing
    return { text: `${path}: ${errnoText(errno)}`, status: errno === ENOENT ? 127 : 126 };
  }
  const image = parseElf(bytes);
  return typeof image === 'string' ? { text: `${path}: ${image}`, status: 126 } : { bytes, image };
}
