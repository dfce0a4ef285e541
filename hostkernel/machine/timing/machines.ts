/** The machines that have names: presets/ has what is known of each, and where it is from. */
import { panic } from '../../base/assert.ts';
import type { MachineConfig } from './config.ts';
import { type MachineProblem, readMachine } from './machine-reader.ts';
import { BARCELONA, JAGUAR, ZEN, ZEN2 } from './presets/amd.ts';
import { ASSUMED } from './presets/assumed.ts';
import { HASWELL, SKYLAKE, WESTMERE } from './presets/intel.ts';
import type { Preset } from './presets/preset.ts';
import { BOOM, C910, P550, ROCKET, U54, U74 } from './presets/riscv.ts';
import { ARM_GEM5, CHAMPSIM_DEFAULT, METEOR_LAKE_SIM, SKYLAKE_SP_SIM, VICTIMA_VIRT_SIM } from './presets/simulators.ts';

const PRESETS: readonly Preset[] = [
  BARCELONA,
  JAGUAR,
  WESTMERE,
  HASWELL,
  SKYLAKE,
  SKYLAKE_SP_SIM,
  ZEN,
  ZEN2,
  METEOR_LAKE_SIM,
  VICTIMA_VIRT_SIM,
  CHAMPSIM_DEFAULT,
  U54,
  U74,
  ROCKET,
  BOOM,
  C910,
  P550,
  ARM_GEM5,
];

/** In the order of their age, simulated ones beside what they stand for. */
export const MACHINE_NAMES: readonly string[] = PRESETS.map((preset) => preset.name);

export const DEFAULT_MACHINE = 'skylake';

const MACHINES: ReadonlyMap<string, MachineConfig> = new Map(PRESETS.map((preset) => [preset.name, read(preset)]));

function read(preset: Preset): MachineConfig {
  const machine = readMachine(preset, () => null, ASSUMED);
  return isMachine(machine)
    ? machine
    : panic(`preset ${preset.name}: ${machine.map(({ key, message }) => `${key}: ${message}`).join('; ')}`);
}

/** The machine of a name in MACHINE_NAMES, or null. `assumed` is one too, though no machine: what all others begin with. */
export function machineByName(name: string): MachineConfig | null {
  return name === ASSUMED.name ? ASSUMED : (MACHINES.get(name) ?? null);
}

/**
 * Reads what a person's TOML or JSON file says of a machine: see machine-reader.ts. What is not said is that of the machine
 * it extends, which is the default machine where it names none.
 * @param description plain data: what a parser returns
 * @returns the machine, every key there, or what is wrong, by key
 */
export function parseMachine(description: unknown): MachineConfig | readonly MachineProblem[] {
  return readMachine(description, machineByName, machineByName(DEFAULT_MACHINE) ?? ASSUMED);
}

/** Whether a description was read, and not refused. */
export function isMachine(machine: MachineConfig | readonly MachineProblem[]): machine is MachineConfig {
  return !Array.isArray(machine);
}
