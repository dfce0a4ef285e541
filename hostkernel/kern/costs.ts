/** What kernel work costs in virtual time, ns. Charged on top of retired instructions; about what hardware would need. */

export const SYSCALL_NS = 100;
export const FAULT_NS = 600;
/** vmspace_ctl(RUN) besides the guest's instructions and faults: two switches of registers and address space. */
export const RUN_NS = 200;
