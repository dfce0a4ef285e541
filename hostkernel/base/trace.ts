/**
 * Tracepoints: typed events of all layers, one sink a kind. A kind nobody listens to costs one null check and builds
 * no event: `if (tracer.fault !== null) tracer.fault({ ... })`.
 *
 * All addresses and lengths are bytes, frames are page numbers, `space` is the asid of the host's address space or the
 * id of the guest's, as `layer` says.
 */

export interface TraceEvents {
  /**
   * A page fault taken by a layer: the host kernel's vm_fault, or the page-fault IPC of the guest kernel. `pc` is where the
   * hart stands: for an access of a TypeScript program, where it ran last.
   */
  fault: { layer: 'host' | 'guest'; space: number; va: number; access: number; pc: number; result: string };
  /**
   * One walk of a virtual page table by vm_fault: references made, what refused it or `none`, and the level of the entry
   * that refused or maps: 0 = leaf table; the root itself is above all tables.
   */
  walk: { space: number; va: number; access: number; references: number; result: string; level: number };
  /** A mapping entered by the guest kernel. */
  map: { space: number; va: number; frame: number; pages: number; rights: number };
  /** A mapping revoked by the guest kernel. */
  unmap: { space: number; va: number; frame: number; pages: number; rights: number };
  /** A message delivered. Thread ids are global L4 ids; `label` and `words` are those of the tag. */
  ipc: { from: number; to: number; label: number; untyped: number; typed: number };
  /**
   * One request served by a server: its words, the errno and the words of the reply, and what the reply mapped: bytes in
   * so many map items. A request without a reply has errno -1.
   */
  rpc: {
    server: string;
    method: string;
    client: number;
    args: readonly number[];
    errno: number;
    results: readonly number[];
    items: number;
    mapped: number;
  };
  /** A Linux system call of a guest program. */
  syscall: { process: number; name: string; args: readonly number[]; result: number };
  /** The processor changed to another thread. */
  switch: { from: number; to: number };
}

export type TraceKind = keyof TraceEvents;

export const TRACE_KINDS: readonly TraceKind[] = ['fault', 'walk', 'map', 'unmap', 'ipc', 'rpc', 'syscall', 'switch'];

/** The switchboard: one per machine, shared by all layers. */
export class Tracer {
  fault: ((event: TraceEvents['fault']) => void) | null = null;
  walk: ((event: TraceEvents['walk']) => void) | null = null;
  map: ((event: TraceEvents['map']) => void) | null = null;
  unmap: ((event: TraceEvents['unmap']) => void) | null = null;
  ipc: ((event: TraceEvents['ipc']) => void) | null = null;
  rpc: ((event: TraceEvents['rpc']) => void) | null = null;
  syscall: ((event: TraceEvents['syscall']) => void) | null = null;
  switch: ((event: TraceEvents['switch']) => void) | null = null;
}
