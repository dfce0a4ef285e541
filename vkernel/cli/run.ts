import type { MachineOptions } from './options.ts';
export function runCommand(_path: string, _args: readonly string[], _options: MachineOptions): number {
  return 0;
}
