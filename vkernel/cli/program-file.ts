/** The program a user names on the command line, as bytes, with a shell's exit codes for what is wrong with it. */
import { readFileSync, statSync } from 'node:fs';
import { type ElfImage, parseElf } from '../../hostkernel/base/elf.ts';

/** A program that cannot be run: one line, and 127 where there is none of that name, else 126. */
export interface Refusal {
  readonly text: string;
  readonly status: 126 | 127;
}

export interface ProgramFile {
  readonly bytes: Uint8Array;
  readonly image: ElfImage;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'name too long',
};

/** Reads and checks the program at `path` of this machine. */
export function readProgram(path: string): ProgramFile | Refusal {
  let bytes: Uint8Array;
  try {
    if (statSync(path).isDirectory()) return { text: `${path}: is a directory`, status: 126 };
    bytes = readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    return { text: `${path}: ${REASONS[code] ?? code}`, status: code === 'ENOENT' || code === 'ENOTDIR' ? 127 : 126 };
  }
  return checkProgram(path, bytes);
}

/** Checks that `bytes` are a program for our harts. */
export function checkProgram(path: string, bytes: Uint8Array): ProgramFile | Refusal {
  const image = parseElf(bytes);
  return typeof image === 'string' ? { text: `${path}: ${image}`, status: 126 } : { bytes, image };
}
