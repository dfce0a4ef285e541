/** Our own mistakes. What a caller can cause is an errno, never one of these. */

/** A broken invariant. Nothing catches it but the crash dump. */
export class KernelPanic extends Error {
  override readonly name = 'KernelPanic';
}

/** Panics with `what` unless `ok`. `what` names the room and the invariant: `vm_object I2`. */
export function kassert(ok: boolean, what: string): asserts ok {
  if (!ok) throw new KernelPanic(what);
}

/** Stops the machine. For code that cannot be reached and states that cannot be. */
export function panic(what: string): never {
  throw new KernelPanic(what);
}
