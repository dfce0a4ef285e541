/**
 * The frame a signal handler runs on, and its way back: Linux's rt_sigframe for RISC-V.
 *
 *   sp -> siginfo (128 bytes)
 *         ucontext: flags, link, stack (base, flags, size) | mask u64 | unused, up to 128 bytes | to a multiple of 16
 *         mcontext: pc, x1..x31 as words of xlen bits | f0..f31 u64, fcsr u32 | up to 528 bytes
 *
 *   enterHandler: registers -> frame; a0 signal, a1 siginfo, a2 ucontext, ra trampoline, pc handler
 *   trampoline:   li a7, rt_sigreturn; ecall
 *   leaveHandler: frame -> registers. Whatever is in it: only registers, the mask and the alternate stack come of it
 *
 * Source: Linux arch/riscv/kernel/signal.c, uapi/asm/{ptrace,sigcontext,ucontext}.h.
 */

import { EFAULT, ENOMEM } from '../base/errno.ts';
import { PAGE_SIZE } from '../base/units.ts';
import type { Processor } from '../machine/index.ts';
import { MAP_FIXED, MAP_SHARED, PROT_EXEC, PROT_READ } from '../vm/index.ts';
import {
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SEGV_MAPERR,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SS_DISABLE,
  SS_ONSTACK,
  SYS_rt_sigreturn,
} from './abi.ts';
import type { HostKernel } from './kernel.ts';
import type { AlternateStack, Lwp } from './lwp.ts';
import type { Process } from './process.ts';
import type { SignalInfo } from './signal.ts';

const INFO_BYTES = 128;
const FLOAT_BYTES = 528;
const TWO32 = 2 ** 32;
const SP = 2;
const A0 = 10;

/** Where things are in a frame, bytes from sp, for a word of `word` bytes. */
interface FrameLayout {
  readonly stack: number; // uc_stack: base, flags, size: a word each
  readonly mask: number;
  readonly registers: number;
  readonly floats: number;
  readonly size: number;
}

function layoutOf(word: number): FrameLayout {
  const stack = INFO_BYTES + 2 * word;
  const mask = stack + 3 * word;
  const registers = Math.ceil((mask + 128) / 16) * 16;
  const floats = registers + 32 * word;
  return { stack, mask, registers, floats, size: floats + FLOAT_BYTES };
}

const FRAME_32 = layoutOf(4);
const FRAME_64 = layoutOf(8);

/** Makes `lwp`, whose registers are in `hart`, run the handler of a signal; or ends its process, if the stack takes no frame. */
export function enterHandler(kernel: HostKernel, hart: Processor, lwp: Lwp, info: SignalInfo): void {
  const { process } = lwp;
  const { signal } = info;
  const action = process.actions.get(signal);
  const layout = process.xlen === 64 ? FRAME_64 : FRAME_32;
  const stack = getX(hart, process.xlen, SP);
  const alternate = lwp.alternate;
  const switches = (action.flags & SA_ONSTACK) !== 0 && alternate.size > 0 && !isOn(alternate, stack);
  const top = switches ? alternate.base + alternate.size : stack;
  const at = Math.floor((top - layout.size) / 16) * 16;
  const fits = at >= 0 && !(isOn(alternate, top) && at < alternate.base);
  if (!fits || process.space.copyOut(at, buildFrame(hart, lwp, info, layout)) < layout.size) {
    refuseFrame(kernel, hart, lwp, signal, at);
    return;
  }
  lwp.suspendedMask = null;
  lwp.blocked.lo |= action.mask.lo;
  lwp.blocked.hi |= action.mask.hi;
  if ((action.flags & SA_NODEFER) === 0) lwp.blocked.add(signal);
  lwp.blocked.delete(SIGKILL);
  lwp.blocked.delete(SIGSTOP);
  const { handler } = action;
  if ((action.flags & SA_RESETHAND) !== 0) process.actions.reset(signal);
  setX(hart, 1, process.trampoline);
  setX(hart, SP, at);
  setX(hart, A0, signal);
  setX(hart, A0 + 1, at);
  setX(hart, A0 + 2, at + INFO_BYTES);
  hart.setPc(handler);
  kernel.counters.signals++;
}

/** rt_sigreturn: registers and mask from the frame at sp. @returns 0, or -EFAULT: there is none */
export function leaveHandler(hart: Processor, lwp: Lwp): number {
  const { process } = lwp;
  const { xlen } = process;
  const layout = xlen === 64 ? FRAME_64 : FRAME_32;
  const bytes = new Uint8Array(layout.size);
  if (process.space.copyIn(getX(hart, xlen, SP), bytes) < bytes.length) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const word = xlen / 8;
  for (let i = 1; i < 32; i++) {
    hart.x[2 * i] = view.getInt32(layout.registers + i * word, true);
    hart.x[2 * i + 1] = word === 8 ? view.getInt32(layout.registers + i * 8 + 4, true) : 0;
  }
  hart.pcLo = view.getInt32(layout.registers, true) & ~1;
  hart.pcHi = word === 8 ? view.getInt32(layout.registers + 4, true) : 0;
  for (let i = 0; i < 64; i++) hart.f[i] = view.getInt32(layout.floats + 4 * i, true);
  hart.fcsr = view.getInt32(layout.floats + 256, true) & 0xff;
  lwp.blocked.set(view.getInt32(layout.mask, true), view.getInt32(layout.mask + 4, true));
  lwp.blocked.delete(SIGKILL);
  lwp.blocked.delete(SIGSTOP);
  lwp.attention = true;
  const base = readWord(view, layout.stack, word);
  const flags = view.getInt32(layout.stack + word, true);
  const size = readWord(view, layout.stack + 2 * word, word);
  if ((flags & SS_DISABLE) !== 0) lwp.alternate.size = 0;
  else if (isUsable(base, size)) {
    lwp.alternate.base = base;
    lwp.alternate.size = size;
  }
  return 0;
}

/** Whether `sp` is on the alternate stack. */
export function isOn(alternate: AlternateStack, sp: number): boolean {
  return alternate.size > 0 && sp > alternate.base && sp <= alternate.base + alternate.size;
}

/** Whether an alternate stack may be there; what is mapped there is the program's business. */
export function isUsable(base: number, size: number): boolean {
  return base < 2 ** 53 && size > 0 && base + size < 2 ** 53;
}

/**
 * Gives `process` the page its handlers return through, if it has none: below the end of user space.
 * @returns 0, or -ENOMEM
 */
export function mapTrampoline(process: Process): number {
  if (process.trampoline !== 0) return 0;
  const { space, kernel } = process;
  const object = kernel.vm.createObject(1);
  const text = Uint32Array.of(((SYS_rt_sigreturn << 20) | (17 << 7) | 0x13) >>> 0, 0x73); // li a7, rt_sigreturn; ecall
  const written = object.write(0, new Uint8Array(text.buffer));
  const at = space.userEnd - 2 * PAGE_SIZE;
  const flags = MAP_SHARED | MAP_FIXED;
  const mapped = written === 0 ? -ENOMEM : space.mmap({ addr: at, len: PAGE_SIZE, prot: PROT_READ | PROT_EXEC, flags, object, offset: 0 });
  object.release();
  if (mapped < 0) return -ENOMEM;
  process.trampoline = at;
  return 0;
}

function buildFrame(hart: Processor, lwp: Lwp, info: SignalInfo, layout: FrameLayout): Uint8Array {
  const { xlen } = lwp.process;
  const word = xlen / 8;
  const bytes = new Uint8Array(layout.size);
  const view = new DataView(bytes.buffer);
  writeInfo(view, info, word);
  const { alternate } = lwp;
  writeWord(view, layout.stack, word, alternate.base);
  const on = isOn(alternate, getX(hart, xlen, SP)) ? SS_ONSTACK : 0;
  view.setInt32(layout.stack + word, alternate.size === 0 ? SS_DISABLE : on, true);
  writeWord(view, layout.stack + 2 * word, word, alternate.size);
  const mask = lwp.suspendedMask ?? lwp.blocked;
  view.setInt32(layout.mask, mask.lo, true);
  view.setInt32(layout.mask + 4, mask.hi, true);
  for (let i = 0; i < 32; i++) {
    view.setInt32(layout.registers + i * word, i === 0 ? hart.pcLo : (hart.x[2 * i] as number), true);
    if (word === 8) view.setInt32(layout.registers + i * 8 + 4, i === 0 ? hart.pcHi : (hart.x[2 * i + 1] as number), true);
  }
  for (let i = 0; i < 64; i++) view.setInt32(layout.floats + 4 * i, hart.f[i] as number, true);
  view.setInt32(layout.floats + 256, hart.fcsr, true);
  return bytes;
}

/** siginfo_t: signal, errno, code; then, where a union of this alignment begins, what the kind of signal has. */
export function writeInfo(view: DataView, info: SignalInfo, word: number): void {
  const fields = word === 8 ? 16 : 12;
  view.setInt32(0, info.signal, true);
  view.setInt32(8, info.code, true);
  const at = info.pid === 0 ? fields : fields + 8; // behind pid and uid, which is 0
  if (info.pid !== 0) view.setInt32(fields, info.pid, true);
  view.setInt32(at, info.lo, true);
  if (word === 8) view.setInt32(at + 4, info.hi, true);
}

/** The stack takes no frame: SIGSEGV, on which the program may have an opinion unless that was the signal. */
function refuseFrame(kernel: HostKernel, hart: Processor, lwp: Lwp, signal: number, at: number): void {
  const status = { signal: SIGSEGV, faultVa: at, access: 2 as const, pc: hart.pc, refusal: `no stack for the handler of signal ${signal}` };
  if (signal === SIGSEGV) kernel.end(lwp.process, status);
  else kernel.signals.raise(lwp, { signal: SIGSEGV, code: SEGV_MAPERR, pid: 0, lo: at | 0, hi: Math.floor(at / 2 ** 32) }, status);
}

/** Register xi as a number, unsigned. */
function getX(hart: Processor, xlen: 32 | 64, i: number): number {
  const lo = (hart.x[2 * i] as number) >>> 0;
  return xlen === 32 ? lo : ((hart.x[2 * i + 1] as number) >>> 0) * TWO32 + lo;
}

function setX(hart: Processor, i: number, value: number): void {
  hart.x[2 * i] = value;
  hart.x[2 * i + 1] = Math.floor(value / TWO32);
}

function writeWord(view: DataView, at: number, word: number, value: number): void {
  view.setUint32(at, value % TWO32, true);
  if (word === 8) view.setUint32(at + 4, Math.floor(value / TWO32), true);
}

function readWord(view: DataView, at: number, word: number): number {
  return view.getUint32(at, true) + (word === 8 ? view.getUint32(at + 4, true) * TWO32 : 0);
}
