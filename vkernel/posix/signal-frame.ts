/**
 * The signal frame: how a handler is entered and left.
 *
 *   sp + 0     siginfo_t                 128 bytes
 *   sp + 128   struct ucontext           960 / 816 bytes (rv64 / rv32)
 *      + 0        uc_flags, uc_link      a word each
 *      + 16 / 8   uc_stack               sp, flags, size
 *      + 40 / 20  uc_sigmask             8 bytes, then room up to 1024 bits
 *      + 176/160  uc_mcontext            pc, x1 .. x31 (words), then f0 .. f31 (8 bytes each), fcsr; 16-byte aligned
 *
 * The handler gets a0 = signal, a1 = siginfo, a2 = ucontext, and ra = a page that holds `li a7, 139; ecall`
 * (rt_sigreturn): riscv has no SA_RESTORER.
 * Source: Linux 6.1 arch/riscv/kernel/signal.c and uapi/asm/{sigcontext,ucontext,ptrace}.h.
 */
import { EFAULT } from '../../hostkernel/base/errno.ts';
import type { L4Wait } from '../l4/user.ts';
import { SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SIG_DFL, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK } from './abi.ts';
import { putSiginfo, SIGINFO_BYTES, type SignalInfo } from './layouts.ts';
import type { Process } from './process.ts';

/** Offsets in bytes from the start of the frame. */
export interface FrameLayout {
  readonly bytes: number;
  readonly ucontext: number;
  readonly stack: number;
  readonly sigmask: number;
  readonly registers: number;
  readonly floats: number;
  readonly fcsr: number;
  readonly reserved: number; // three words that must be zero: no extensions follow
}

function frameLayout(word: 4 | 8): FrameLayout {
  const ucontext = SIGINFO_BYTES;
  const stack = ucontext + 2 * word;
  const sigmask = stack + 3 * word;
  const registers = Math.ceil((sigmask + 128) / 16) * 16;
  const floats = registers + 32 * word;
  return { bytes: floats + 528, ucontext, stack, sigmask, registers, floats, fcsr: floats + 256, reserved: floats + 516 };
}

export const FRAME_64 = frameLayout(8);
export const FRAME_32 = frameLayout(4);

/** `li a7, 139; ecall`. */
export const TRAMPOLINE = new Uint8Array([0x93, 0x08, 0xb0, 0x08, 0x73, 0x00, 0x00, 0x00]);

const SP = 2 * 2; // word index of x2's low half in the register array
const RA = 2 * 1;
const A0 = 2 * 10;
const PC = 0;

/** Whether an address lies on the alternate stack. */
export function onAlternateStack(p: Process, sp: number): boolean {
  const { stack } = p.signals;
  return (stack.flags & SS_DISABLE) === 0 && sp > stack.sp && sp - stack.sp <= stack.size;
}

/**
 * Makes the stopped thread enter the handler of `info.signal`. Waits for page faults on the guest's stack.
 * @returns 0, or -EFAULT: the frame could not be written, and nothing has changed
 */
export function* enterHandler(p: Process, info: SignalInfo): Generator<L4Wait, number, void> {
  const registers = p.registers();
  const { memory, signals } = p;
  const { wide, view, scratch } = memory;
  const layout = wide ? FRAME_64 : FRAME_32;
  const action = signals.action(info.signal);
  const { stack } = signals;
  const sp = wordOf(registers, SP, wide);
  const switches = (action.flags & SA_ONSTACK) !== 0 && (stack.flags & SS_DISABLE) === 0 && !onAlternateStack(p, sp);
  const top = switches ? stack.sp + stack.size : sp;
  const frame = Math.floor((top - layout.bytes) / 16) * 16;
  if (onAlternateStack(p, sp) && frame < stack.sp) return -EFAULT; // it would run off the alternate stack

  scratch.fill(0, 0, layout.bytes);
  putSiginfo(view, 0, wide, info);
  memory.putWord(layout.stack, stack.sp);
  const state = (stack.flags & SS_DISABLE) !== 0 ? SS_DISABLE : onAlternateStack(p, sp) ? SS_ONSTACK : 0;
  view.setInt32(layout.stack + memory.wordBytes, state | (stack.flags & SS_AUTODISARM), true);
  memory.putWord(layout.stack + 2 * memory.wordBytes, stack.size);
  const mask = signals.saved ?? { lo: signals.blockedLo, hi: signals.blockedHi };
  view.setInt32(layout.sigmask, mask.lo, true);
  view.setInt32(layout.sigmask + 4, mask.hi, true);
  for (let i = 0; i < 32; i++) {
    view.setInt32(layout.registers + i * memory.wordBytes, registers[2 * i], true);
    if (wide) view.setInt32(layout.registers + i * 8 + 4, registers[2 * i + 1], true);
  }
  const floats = p.floatRegisters();
  if (floats !== null) for (let i = 0; i < 65; i++) view.setInt32(layout.floats + 4 * i, floats[i], true);
  const error = yield* memory.store(frame, layout.bytes);
  if (error < 0) return error;

  signals.saved = null;
  if (switches && (stack.flags & SS_AUTODISARM) !== 0) signals.stack = { sp: 0, size: 0, flags: SS_DISABLE };
  const own = (action.flags & SA_NODEFER) !== 0 ? 0 : info.signal;
  const ownLo = own >= 1 && own <= 32 ? 1 << (own - 1) : 0;
  const ownHi = own > 32 ? 1 << (own - 33) : 0;
  signals.setBlocked(signals.blockedLo | action.maskLo | ownLo, signals.blockedHi | action.maskHi | ownHi);
  if ((action.flags & SA_RESETHAND) !== 0) signals.setAction(info.signal, { ...action, handlerLo: SIG_DFL, handlerHi: 0 });
  registers[PC] = action.handlerLo;
  registers[PC + 1] = action.handlerHi;
  setWord(registers, SP, frame);
  setWord(registers, RA, p.trampoline);
  setWord(registers, A0, info.signal);
  setWord(registers, A0 + 2, frame);
  setWord(registers, A0 + 4, frame + layout.ucontext);
  return 0;
}

/**
 * rt_sigreturn: puts back what the frame at the guest's sp holds. The frame is the guest's to change, and every field is
 * taken as data: registers have any value, the mask loses SIGKILL and SIGSTOP.
 * @returns 0, or -EFAULT: there is no whole frame, or one with an extension this machine does not have
 */
export function* leaveHandler(p: Process): Generator<L4Wait, number, void> {
  const registers = p.registers();
  const { memory, signals } = p;
  const { wide, view } = memory;
  const layout = wide ? FRAME_64 : FRAME_32;
  const error = yield* memory.load(wordOf(registers, SP, wide), layout.bytes);
  if (error < 0) return error;
  for (let i = 0; i < 3; i++) if (view.getInt32(layout.reserved + 4 * i, true) !== 0) return -EFAULT;
  signals.setBlocked(view.getInt32(layout.sigmask, true), view.getInt32(layout.sigmask + 4, true));
  for (let i = 0; i < 32; i++) {
    const lo = view.getInt32(layout.registers + i * memory.wordBytes, true);
    registers[2 * i] = i === 0 ? lo & ~1 : lo; // the hardware's sepc has no bit 0
    registers[2 * i + 1] = wide ? view.getInt32(layout.registers + i * 8 + 4, true) : 0;
  }
  const floats = p.floatRegisters();
  if (floats !== null) {
    for (let i = 0; i < 64; i++) floats[i] = view.getInt32(layout.floats + 4 * i, true);
    floats[64] = view.getInt32(layout.fcsr, true) & 0xff;
  }
  const sp = memory.wordAt(layout.stack);
  const flags = view.getInt32(layout.stack + memory.wordBytes, true);
  const size = memory.wordAt(layout.stack + 2 * memory.wordBytes);
  if ((flags & SS_DISABLE) === 0 && memory.inRange(sp, size)) signals.stack = { sp, size, flags: flags & SS_AUTODISARM };
  return 0;
}

function wordOf(registers: Int32Array, at: number, wide: boolean): number {
  const lo = registers[at] >>> 0;
  return wide ? (registers[at + 1] >>> 0) * 2 ** 32 + lo : lo;
}

function setWord(registers: Int32Array, at: number, value: number): void {
  registers[at] = value;
  registers[at + 1] = Math.floor(value / 2 ** 32);
}
