/**
 * Control calls: threads and spaces come, change and go. Each call checks everything, then changes everything; a
 * refused call has changed nothing.
 * Source: L4 X.2, "ThreadControl", "SpaceControl", "ExchangeRegisters".
 */
import { PAGE_SIZE } from '../../hostkernel/base/units.ts';
import { fpageBase, fpageShift, fpageSize } from './fpage.ts';
import { awaitStart, readRegister, setInstructionPointer, setStackPointer } from './hart.ts';
import { abortIpc, detachIpc, forgetPartner } from './ipc.ts';
import { PRIORITIES } from './ready-queue.ts';
import type { Space } from './space.ts';
import { CHARGE_CONTROL, type KernelState } from './state.ts';
import {
  DEAD,
  INACTIVE,
  KERNEL_IPC_NONE,
  KERNEL_IPC_START,
  KIND_BODY,
  KIND_HART,
  KIND_NONE,
  READY,
  RECEIVING,
  SENDING,
  STOPPED,
  Thread,
} from './thread.ts';
import { isGlobalId, NIL, type ThreadId, threadNumber, USER_BASE } from './thread-id.ts';
import {
  ERROR_INVALID_PARAMETER,
  ERROR_INVALID_SCHEDULER,
  ERROR_INVALID_SPACE,
  ERROR_INVALID_THREAD,
  ERROR_KIP_AREA,
  ERROR_NO_PRIVILEGE,
  ERROR_UTCB_AREA,
  type ExchangedRegisters,
  IPC_CANCELLED,
  KIP_SHIFT,
  UTCB_AREA_MIN_SHIFT,
  UTCB_SHIFT,
  XR_APPLY_HALT,
  XR_CANCEL_RECEIVE,
  XR_CANCEL_SEND,
  XR_FLAGS,
  XR_HALT,
  XR_HANDLE,
  XR_IP,
  XR_PAGER,
  XR_SP,
  XR_WAS_HALTED,
  XR_WAS_RECEIVING,
  XR_WAS_SENDING,
} from './user.ts';

const REGISTER_SP = 2;
const UTCB_SIZE = 2 ** UTCB_SHIFT;

export interface ThreadControlRequest {
  readonly dest: ThreadId;
  readonly space: ThreadId;
  readonly scheduler: ThreadId;
  readonly pager: ThreadId;
  readonly utcb: number; // bytes, -1: leave
}

/**
 * Creates, changes or deletes a thread.
 * @returns 0 or an error code:
 *   ERROR_NO_PRIVILEGE       not sigma0 and not the root server
 *   ERROR_INVALID_THREAD     `dest` is no user thread's id; to be deleted and not there, or the caller itself
 *   ERROR_INVALID_SPACE      `space` names no thread; a new space cannot have an active thread; the space has no areas yet
 *   ERROR_INVALID_SCHEDULER  a new thread without a scheduler; a scheduler that does not exist
 *   ERROR_INVALID_PARAMETER  `pager` has not the form of a thread id
 *   ERROR_UTCB_AREA          slot misaligned, outside the area, in use by an active thread, missing for an active
 *                            thread, or changed while active
 */
export function threadControl(kernel: KernelState, caller: Thread, request: ThreadControlRequest): number {
  kernel.now += CHARGE_CONTROL;
  const { dest, space, pager } = request;
  if (!caller.space.privileged) return ERROR_NO_PRIVILEGE;
  if (!isGlobalId(dest, kernel.wordBits) || threadNumber(dest, kernel.wordBits) < USER_BASE) return ERROR_INVALID_THREAD;
  const existing = kernel.threads[threadNumber(dest, kernel.wordBits)] ?? null;
  if (space === NIL) {
    if (existing === null || existing.id !== dest || existing === caller || existing.space.idempotent) return ERROR_INVALID_THREAD;
    deleteThread(kernel, existing);
    return 0;
  }
  if (pager !== NIL && !isGlobalId(pager, kernel.wordBits)) return ERROR_INVALID_PARAMETER;
  return existing === null ? createThread(kernel, request) : changeThread(kernel, existing, request);
}

function createThread(kernel: KernelState, request: ThreadControlRequest): number {
  const { dest, scheduler, pager, utcb } = request;
  const alone = request.space === dest;
  const home = alone ? null : kernel.find(request.space);
  if (!alone && home === null) return ERROR_INVALID_SPACE;
  if (kernel.find(scheduler) === null && scheduler !== dest) return ERROR_INVALID_SCHEDULER;
  if (pager !== NIL && (home === null || !home.space.initialised)) return ERROR_INVALID_SPACE;
  const error = checkUtcb(kernel, home === null ? null : home.space, null, utcb, pager !== NIL);
  if (error !== 0) return error;

  const space = home === null ? kernel.createSpace({ privileged: false, idempotent: false }) : home.space;
  const thread = addThread(kernel, dest, space, scheduler);
  if (utcb >= 0) thread.utcb = utcb;
  if (pager !== NIL) activate(kernel, thread, pager);
  return 0;
}

/** Enters a new, inactive thread. */
export function addThread(kernel: KernelState, id: ThreadId, space: Space, scheduler: ThreadId): Thread {
  const thread = new Thread(id, space, scheduler, kernel.wordBits);
  while (kernel.threads.length <= thread.number) kernel.threads.push(null);
  kernel.threads[thread.number] = thread;
  space.threads++;
  return thread;
}

/** Makes a thread active: it waits for the start message of its pager. */
export function activate(kernel: KernelState, thread: Thread, pager: ThreadId): void {
  thread.pager = pager;
  thread.space.activeThreads++;
  awaitStart(kernel, thread);
}

function changeThread(kernel: KernelState, thread: Thread, request: ThreadControlRequest): number {
  const { dest, scheduler, pager, utcb } = request;
  if (thread.space.idempotent) return ERROR_INVALID_THREAD;
  const home = request.space === dest || request.space === thread.id ? thread : kernel.find(request.space);
  if (home === null) return ERROR_INVALID_SPACE;
  if (scheduler !== NIL && scheduler !== dest && kernel.find(scheduler) === null) return ERROR_INVALID_SCHEDULER;
  const { space } = home;
  const activates = pager !== NIL && !thread.isActive;
  const moves = space !== thread.space;
  if ((activates || (moves && thread.isActive)) && !space.initialised) return ERROR_INVALID_SPACE;
  if (utcb >= 0 && thread.isActive && utcb !== thread.utcb) return ERROR_UTCB_AREA;
  const error = checkUtcb(kernel, space, thread, utcb, activates);
  if (error !== 0) return error;

  if (scheduler !== NIL) thread.scheduler = scheduler;
  if (dest !== thread.id) renameThread(kernel, thread, dest);
  if (moves) migrate(kernel, thread, space);
  if (utcb >= 0) thread.utcb = utcb;
  if (activates) activate(kernel, thread, pager);
  else if (pager !== NIL) {
    thread.pager = pager;
    if (thread.kernelIpc === KERNEL_IPC_START) thread.waitFor = pager; // the start message comes from the new one
  }
  return 0;
}

/** @param space null: one that is about to be created; @param activates the thread must have a slot afterwards */
function checkUtcb(kernel: KernelState, space: Space | null, thread: Thread | null, utcb: number, activates: boolean): number {
  const slot = utcb >= 0 ? utcb : thread === null ? -1 : thread.utcb;
  if (slot < 0) return activates ? ERROR_UTCB_AREA : 0;
  if (utcb < 0 && !activates) return 0;
  if (space === null || slot % UTCB_SIZE !== 0) return ERROR_UTCB_AREA;
  if (slot < space.utcbStart * PAGE_SIZE || slot >= space.utcbEnd * PAGE_SIZE) return ERROR_UTCB_AREA;
  const taken = kernel.threads.some((other) => isNeighbour(other, space) && other !== thread && other.isActive && other.utcb === slot);
  return taken ? ERROR_UTCB_AREA : 0;
}

function isNeighbour(thread: Thread | null | undefined, space: Space): thread is Thread {
  return thread !== null && thread !== undefined && thread.space === space;
}

function renameThread(kernel: KernelState, thread: Thread, id: ThreadId): void {
  const old = thread.id;
  thread.id = id;
  forgetPartner(kernel, thread, old);
}

function migrate(kernel: KernelState, thread: Thread, space: Space): void {
  const old = thread.space;
  thread.space = space;
  space.threads++;
  if (thread.isActive) space.activeThreads++;
  leaveSpace(kernel, thread, old);
}

function leaveSpace(kernel: KernelState, thread: Thread, space: Space): void {
  space.threads--;
  if (thread.isActive) space.activeThreads--;
  if (space.threads === 0) kernel.destroySpace(space);
}

/** Deletes a thread; with the last one its space goes. Its program is finished and never resumed. */
export function deleteThread(kernel: KernelState, thread: Thread): void {
  const { id } = thread;
  detachIpc(kernel, thread);
  kernel.ready.remove(thread);
  leaveSpace(kernel, thread, thread.space);
  thread.state = DEAD;
  thread.id = NIL;
  kernel.threads[thread.number] = null;
  if (thread.trapframe !== 0) kernel.platform.region.freeFrames(thread.trapframe);
  thread.trapframe = 0;
  forgetPartner(kernel, thread, id);
  const { program } = thread;
  thread.program = null;
  program?.return();
}

/**
 * Sets the areas of a space that has no active thread yet; later calls leave them alone.
 * @returns 0, ERROR_NO_PRIVILEGE, ERROR_INVALID_SPACE (no such thread), ERROR_KIP_AREA or ERROR_UTCB_AREA (too small,
 *   outside user space, overlapping, or something is mapped there)
 */
export function spaceControl(kernel: KernelState, caller: Thread, spaceId: ThreadId, kip: number, utcb: number): number {
  kernel.now += CHARGE_CONTROL;
  if (!caller.space.privileged) return ERROR_NO_PRIVILEGE;
  const thread = kernel.find(spaceId);
  if (thread === null || thread.space.idempotent) return ERROR_INVALID_SPACE;
  const { space } = thread;
  if (space.activeThreads > 0) return 0;
  if (!isArea(kernel, space, kip, KIP_SHIFT)) return ERROR_KIP_AREA;
  if (!isArea(kernel, space, utcb, UTCB_AREA_MIN_SHIFT)) return ERROR_UTCB_AREA;
  const kipStart = fpageBase(kip);
  const utcbStart = fpageBase(utcb);
  if (kipStart < utcbStart + fpageSize(utcb) && utcbStart < kipStart + fpageSize(kip)) return ERROR_UTCB_AREA;
  reserveAreas(space, kip, utcb);
  return 0;
}

export function reserveAreas(space: Space, kip: number, utcb: number): void {
  space.kipStart = fpageBase(kip) / PAGE_SIZE;
  space.kipEnd = space.kipStart + fpageSize(kip) / PAGE_SIZE;
  space.utcbStart = fpageBase(utcb) / PAGE_SIZE;
  space.utcbEnd = space.utcbStart + fpageSize(utcb) / PAGE_SIZE;
  space.initialised = true;
}

function isArea(kernel: KernelState, space: Space, page: number, minShift: number): boolean {
  if (!(page > 0) || fpageShift(page) < minShift) return false;
  const start = fpageBase(page);
  const end = start + fpageSize(page);
  return end <= kernel.platform.userEnd && kernel.maps.nextMapped(space, start / PAGE_SIZE, end / PAGE_SIZE) < 0;
}

export interface ExchangeRequest {
  readonly dest: ThreadId;
  readonly control: number; // XR_*
  readonly sp: number;
  readonly ip: number;
  readonly flags: number;
  readonly handle: number;
  readonly pager: ThreadId;
}

/**
 * Reads and changes the registers of an active thread of the caller's space, and stops or starts it.
 * @param old receives the values before
 * @returns 0 or ERROR_INVALID_THREAD
 */
export function exchangeRegisters(kernel: KernelState, caller: Thread, request: ExchangeRequest, old: ExchangedRegisters): number {
  const thread = kernel.find(request.dest);
  if (thread === null || !thread.isActive || thread.space !== caller.space) return ERROR_INVALID_THREAD;
  const { control } = request;
  old.control =
    (thread.halted ? XR_WAS_HALTED : 0) |
    (thread.state === RECEIVING ? XR_WAS_RECEIVING : 0) |
    (thread.state === SENDING ? XR_WAS_SENDING : 0);
  old.sp = thread.trapframe === 0 ? thread.startSp : readRegister(kernel, thread, REGISTER_SP);
  old.ip = thread.trapframe === 0 ? thread.startIp : readRegister(kernel, thread, 0);
  old.flags = thread.flags;
  old.handle = thread.userHandle;
  old.pager = thread.pager;

  if ((control & XR_SP) !== 0) setStart(kernel, thread, -1, request.sp);
  if ((control & XR_IP) !== 0) setStart(kernel, thread, request.ip, -1);
  if ((control & XR_FLAGS) !== 0) thread.flags = request.flags;
  if ((control & XR_HANDLE) !== 0) thread.userHandle = request.handle;
  if ((control & XR_PAGER) !== 0) thread.pager = request.pager;
  if ((control & XR_APPLY_HALT) !== 0) setHalted(kernel, thread, (control & XR_HALT) !== 0);
  if ((control & XR_CANCEL_SEND) !== 0 && thread.state === SENDING) abortIpc(kernel, thread, IPC_CANCELLED);
  else if ((control & XR_CANCEL_RECEIVE) !== 0 && thread.state === RECEIVING) abortIpc(kernel, thread, IPC_CANCELLED);
  else if (thread.state === STOPPED && thread.kind === KIND_HART && (control & XR_IP) !== 0) kernel.makeReady(thread);
  return 0;
}

/** New ip or sp (-1: leave) of a hart thread, or of one that has not started. TypeScript threads have neither. */
function setStart(kernel: KernelState, thread: Thread, ip: number, sp: number): void {
  if (thread.kind === KIND_HART) {
    if (ip >= 0) setInstructionPointer(kernel, thread, ip);
    if (sp >= 0) setStackPointer(kernel, thread, sp);
  } else if (thread.kind === KIND_NONE) {
    if (ip >= 0) thread.startIp = ip;
    if (sp >= 0) thread.startSp = sp;
  }
}

function setHalted(kernel: KernelState, thread: Thread, halted: boolean): void {
  if (thread.halted === halted) return;
  thread.halted = halted;
  if (halted) {
    kernel.ready.remove(thread);
    if (thread === kernel.current) thread.mustYield = true;
  } else if (thread.state === READY && thread !== kernel.current) kernel.ready.add(thread);
}

/** Sets a thread's priority. @returns 0, ERROR_INVALID_THREAD, ERROR_NO_PRIVILEGE (not its scheduler), ERROR_INVALID_PARAMETER */
export function setPriority(kernel: KernelState, caller: Thread, dest: ThreadId, priority: number): number {
  const thread = kernel.find(dest);
  if (thread === null) return ERROR_INVALID_THREAD;
  if (thread.scheduler !== caller.id) return ERROR_NO_PRIVILEGE;
  if (!Number.isInteger(priority) || priority < 0 || priority >= PRIORITIES) return ERROR_INVALID_PARAMETER;
  const { queued } = thread;
  kernel.ready.remove(thread);
  thread.priority = priority;
  if (queued) kernel.ready.add(thread);
  return 0;
}

/** Whether `caller` may give `thread` a program or a handler: it lives in the same space, made it, or pages it. */
export function mayDirect(caller: Thread, thread: Thread): boolean {
  return (
    caller.space === thread.space ||
    caller.space.privileged ||
    thread.scheduler === caller.id ||
    (thread.pager === caller.id && thread.pager !== NIL)
  );
}

/** @returns 0, or ERROR_INVALID_THREAD (not there, or not ours to direct), ERROR_INVALID_PARAMETER (no thread id) */
export function setExceptionHandler(kernel: KernelState, caller: Thread, dest: ThreadId, handler: ThreadId): number {
  const thread = kernel.find(dest);
  if (thread === null || !mayDirect(caller, thread)) return ERROR_INVALID_THREAD;
  if (handler !== NIL && !isGlobalId(handler, kernel.wordBits)) return ERROR_INVALID_PARAMETER;
  thread.handler = handler;
  return 0;
}

/** Turns an active thread that waits for its start message into a TypeScript thread with `program`. @returns whether it did */
export function startProgram(kernel: KernelState, thread: Thread, program: NonNullable<Thread['program']>): boolean {
  if (thread.state === INACTIVE || thread.state === DEAD || thread.kind !== KIND_NONE || thread.kernelIpc !== KERNEL_IPC_START)
    return false;
  thread.kind = KIND_BODY;
  thread.program = program;
  abortIpc(kernel, thread, IPC_CANCELLED);
  thread.kernelIpc = KERNEL_IPC_NONE;
  thread.kernelError = 0;
  return true;
}
