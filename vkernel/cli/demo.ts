import type { MachineOptions } from './options.ts';
export function demoCommand(_options: MachineOptions): number {
  return 0;
}
