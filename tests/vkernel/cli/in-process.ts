/** The command line carried out in this process, with streams of its own: what a process would say, without starting one. */
import { vi } from 'vitest';
import { runCommandLine } from '../../../vkernel/cli/command-line.ts';
import { TERMINAL } from '../../../vkernel/cli/terminal.ts';

export interface Spoken {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Carries out `vkernel args...` with an empty standard input. An exception that would end the process is one here too. */
export async function vkernel(...args: readonly string[]): Promise<Spoken> {
  const said = { 1: '', 2: '' };
  const decoders = { 1: new TextDecoder(), 2: new TextDecoder() };
  const write = vi.spyOn(TERMINAL, 'write').mockImplementation((fd, bytes) => {
    said[fd] += decoders[fd].decode(bytes, { stream: true });
  });
  const read = vi.spyOn(TERMINAL, 'read').mockImplementation(() => new Uint8Array(0));
  try {
    const status = await runCommandLine(args);
    return { status, stdout: said[1], stderr: said[2] };
  } finally {
    write.mockRestore();
    read.mockRestore();
  }
}
