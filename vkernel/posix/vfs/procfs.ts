/**
 * /proc: the few files programs read to find out about themselves and the machine.
 *
 * What the machine has (memory, uptime) is asked from the process when a file is opened. Numbers that have no meaning
 * here are constants, and say so where they are: load is 0.00, there is one processor.
 */
import type { Mapping } from '../../../userland/libhurd-mm/interface.ts';
import type { FileSystem } from './filesystem.ts';
import type { ComputedDirectory, DirectoryInode, Inode } from './inode.ts';
import { DEV_PROC } from './tree.ts';

/** What /proc shows. Asked at each open. */
export interface ProcSource {
  readonly pid: number;
  /** Absolute path of the program. */
  executable(): string;
  executableInode(): Inode | null;
  workingDirectory(): DirectoryInode;
  commandLine(): readonly string[];
  environment(): readonly string[];
  name(): string; // at most 15 bytes
  descriptors(): readonly number[];
  descriptor(fd: number): { readonly path: string; readonly node: Inode } | null;
  mappings(): Iterable<Mapping>;
  readonly stackStart: number; // an address in the stack
  uptime(): number; // seconds
  memoryBytes(): { readonly total: number; readonly free: number }; // bytes
  parentPid(): number;
  readonly processGroup: number;
  readonly session: number;
  state(): string; // a letter, as ps(1) shows it
  seconds(): number; // of processor time
  readonly isa: string;
  readonly release: string;
  readonly hostname: string;
}

/** Whom /proc shows. */
export interface ProcTable {
  /** Who looks. */
  readonly current: ProcSource | null;
  find(pid: number): ProcSource | null;
  pids(): readonly number[];
  readonly forks: number; // processes ever made
}

const KERNEL_FILES: readonly (readonly [name: string, text: (source: ProcSource) => string])[] = [
  ['cpuinfo', (s) => `processor\t: 0\nhart\t\t: 0\nisa\t\t: ${s.isa}\nmmu\t\t: ${s.isa.startsWith('rv64') ? 'sv39' : 'sv32'}\n\n`],
  ['meminfo', meminfo],
  ['uptime', (s) => `${s.uptime().toFixed(2)} 0.00\n`],
  ['loadavg', (s) => `0.00 0.00 0.00 1/1 ${s.pid}\n`],
  ['version', (s) => `Linux version ${s.release} (vkernel) #1 SMP\n`],
  ['mounts', () => MOUNTS],
  ['filesystems', () => 'nodev\tproc\nnodev\tdevtmpfs\nnodev\toverlay\n'],
  ['cmdline', () => '\n'],
];

const SYSTEM_FILES: readonly (readonly [path: string, text: (source: ProcSource) => string])[] = [
  ['kernel/ostype', () => 'Linux\n'],
  ['kernel/osrelease', (s) => `${s.release}\n`],
  ['kernel/version', () => '#1 SMP\n'],
  ['kernel/hostname', (s) => `${s.hostname}\n`],
  ['kernel/domainname', () => '(none)\n'],
  ['kernel/pid_max', () => '32768\n'],
  ['kernel/ngroups_max', () => '65536\n'],
  ['kernel/random/boot_id', () => '00000000-0000-4000-8000-000000000000\n'],
  ['vm/overcommit_memory', () => '0\n'],
  ['fs/pipe-max-size', () => '65536\n'],
];

const PROCESS_FILES: readonly (readonly [name: string, text: (source: ProcSource) => string])[] = [
  ['cmdline', (s) => s.commandLine().map(terminated).join('')],
  ['environ', (s) => s.environment().map(terminated).join('')],
  ['comm', (s) => `${s.name()}\n`],
  ['maps', maps],
  ['mounts', () => MOUNTS],
  ['stat', processStat],
  ['statm', () => '0 0 0 0 0 0 0\n'],
  ['status', processStatus],
  ['limits', () => 'Limit                     Soft Limit           Hard Limit           Units     \n'],
];

const MOUNTS = 'overlay / overlay rw,noatime 0 0\ndevtmpfs /dev devtmpfs rw 0 0\nproc /proc proc rw 0 0\n';

/** Mounts /proc. Its inodes come and go with the processes, and are not counted: they are no program's to make. */
export function mountProc(fs: FileSystem, table: ProcTable): DirectoryInode {
  const { tree } = fs;
  const uncounted = tree.inodes;
  const fixed = new Map<string, Inode>(); // names that are not pids
  const processes = new Map<ProcSource, DirectoryInode>();
  const find = (name: string): Inode | null => {
    const source = PID.test(name) ? table.find(Number(name)) : null;
    if (source === null) return fixed.get(name) ?? null;
    let directory = processes.get(source);
    if (directory === undefined) {
      for (const old of processes.keys()) if (table.find(old.pid) !== old) processes.delete(old);
      directory = processDirectory(fs, proc, source);
      processes.set(source, directory);
    }
    return directory;
  };
  const proc = tree.makeDirectory(null, 0o555, {
    ...SEALED,
    computed: { lookup: find, list: () => [...fixed.keys(), ...table.pids().map((pid) => `${pid}`)] },
  });
  const self = (): ProcSource => table.current as ProcSource; // who looks is a process
  const add = (name: string, node: Inode): void => {
    fixed.set(name, node);
    if (node.kind === 'directory') node.name = name;
    else node.nlink = 1;
  };
  const file = (text: (source: ProcSource) => string): Inode => tree.makeGenerated(0o444, () => text(self()), DEV_PROC);
  for (const [name, text] of KERNEL_FILES) add(name, file(text));
  add(
    'stat',
    file((s) => kernelStat(s, table.forks)),
  );
  const system = tree.makeDirectory(proc, 0o555, SEALED);
  add('sys', system);
  for (const [path, text] of SYSTEM_FILES) {
    const names = path.split('/');
    let at = system;
    for (const name of names.slice(0, -1)) at = subdirectory(fs, at, name);
    enter(at, names[names.length - 1], file(text));
  }
  const link = (target: () => string): Inode => tree.makeSymlink(target, DEV_PROC);
  add(
    'self',
    link(() => `${self().pid}`),
  );
  add(
    'thread-self',
    link(() => `${self().pid}/task/${self().pid}`),
  );
  tree.inodes = uncounted;
  fs.mount('proc', proc);
  return proc;
}

const PID = /^[1-9][0-9]{0,6}$/;
const SEALED = { dev: DEV_PROC, sealed: true };

function enter(directory: DirectoryInode, name: string, node: Inode): void {
  directory.entries.set(name, node);
  if (node.kind === 'directory') {
    node.parent = directory;
    node.name = name;
    directory.nlink++;
  } else {
    node.nlink = 1;
  }
}

function subdirectory({ tree }: FileSystem, directory: DirectoryInode, name: string): DirectoryInode {
  const present = directory.entries.get(name);
  if (present?.kind === 'directory') return present;
  const made = tree.makeDirectory(directory, 0o555, SEALED);
  enter(directory, name, made);
  return made;
}

/** /proc/<pid>. */
function processDirectory(fs: FileSystem, proc: DirectoryInode, source: ProcSource): DirectoryInode {
  const { tree } = fs;
  const uncounted = tree.inodes;
  const self = tree.makeDirectory(proc, 0o555, SEALED);
  self.name = `${source.pid}`;
  const file = (directory: DirectoryInode, name: string, text: (of: ProcSource) => string): void =>
    enter(
      directory,
      name,
      tree.makeGenerated(0o444, () => text(source), DEV_PROC),
    );
  for (const [name, text] of PROCESS_FILES) file(self, name, text);
  const link = (name: string, target: () => string, jump: () => Inode | null): void =>
    enter(self, name, tree.makeSymlink(target, DEV_PROC, jump));
  link(
    'exe',
    () => source.executable(),
    () => source.executableInode(),
  );
  link(
    'cwd',
    () => tree.pathOf(source.workingDirectory()) ?? '(deleted)',
    () => source.workingDirectory(),
  );
  link(
    'root',
    () => '/',
    () => tree.root,
  );
  enter(self, 'fd', tree.makeDirectory(self, 0o500, { ...SEALED, computed: descriptorDirectory(fs, source) }));
  const task = subdirectory(fs, subdirectory(fs, self, 'task'), `${source.pid}`);
  file(task, 'comm', (s) => `${s.name()}\n`);
  tree.inodes = uncounted;
  return self;
}

/** /proc/self/fd: one magic link a descriptor, made once and kept, so that repeated look-ups do not use up inodes. */
function descriptorDirectory(fs: FileSystem, source: ProcSource): ComputedDirectory {
  const links = new Map<number, Inode>();
  return {
    lookup(name) {
      if (!/^(0|[1-9][0-9]{0,6})$/.test(name)) return null;
      const fd = Number(name);
      if (source.descriptor(fd) === null) return null;
      let link = links.get(fd);
      if (link === undefined) {
        const uncounted = fs.tree.inodes;
        link = fs.tree.makeSymlink(
          () => source.descriptor(fd)?.path ?? '',
          DEV_PROC,
          () => source.descriptor(fd)?.node ?? null,
        );
        fs.tree.inodes = uncounted;
        link.nlink = 1;
        links.set(fd, link);
      }
      return link;
    },
    list: () => source.descriptors().map((fd) => `${fd}`),
  };
}

function terminated(text: string): string {
  return `${text}\0`;
}

function ticks(source: ProcSource): number {
  return Math.floor(source.uptime() * 100);
}

function meminfo(source: ProcSource): string {
  const { total, free } = source.memoryBytes();
  const line = (name: string, bytes: number): string => `${`${name}:`.padEnd(16)}${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`;
  return [
    line('MemTotal', total),
    line('MemFree', free),
    line('MemAvailable', free),
    line('Buffers', 0),
    line('Cached', 0),
    line('SwapCached', 0),
    line('Active', total - free),
    line('Inactive', 0),
    line('SwapTotal', 0),
    line('SwapFree', 0),
    line('Dirty', 0),
    line('Shmem', 0),
    line('Slab', 0),
    line('SReclaimable', 0),
  ].join('');
}

/** A line a mapping. Source: proc(5), /proc/pid/maps: names begin in column 74. */
function maps(source: ProcSource): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  let text = '';
  for (const { start, end, prot, shared, offset, file } of source.mappings()) {
    const rights = `${(prot & 1) !== 0 ? 'r' : '-'}${(prot & 2) !== 0 ? 'w' : '-'}${(prot & 4) !== 0 ? 'x' : '-'}${shared ? 's' : 'p'}`;
    const isStack = start <= source.stackStart && source.stackStart < end;
    const line = `${hex(start, 8)}-${hex(end, 8)} ${rights} ${hex(offset, 8)} 00:${hex(file?.dev ?? 0, 2)} ${file?.ino ?? 0} `;
    const name = file?.path ?? (isStack ? '[stack]' : '');
    text += `${name === '' ? line : line.padEnd(73) + name}\n`;
  }
  return text;
}

function kernelStat(source: ProcSource, forks: number): string {
  const times = `${ticks(source)} 0 0 0 0 0 0 0 0 0`;
  return `cpu  ${times}\ncpu0 ${times}\nbtime 0\nprocesses ${forks}\nprocs_running 1\nprocs_blocked 0\n`;
}

function processStat(source: ProcSource): string {
  const zeros = Array.from({ length: 30 }, () => '0').join(' ');
  const { pid, processGroup, session } = source;
  const spent = Math.floor(source.seconds() * 100);
  return `${pid} (${source.name()}) ${source.state()} ${source.parentPid()} ${processGroup} ${session} 0 -1 0 0 0 0 0 ${spent} 0 0 0 20 0 1 0 0 ${zeros}\n`;
}

const STATES: Readonly<Record<string, string>> = { R: 'running', S: 'sleeping', T: 'stopped', Z: 'zombie' };

function processStatus(source: ProcSource): string {
  const state = source.state();
  return [
    `Name:\t${source.name()}`,
    'Umask:\t0022',
    `State:\t${state} (${STATES[state]})`,
    `Tgid:\t${source.pid}`,
    `Pid:\t${source.pid}`,
    `PPid:\t${source.parentPid()}`,
    'TracerPid:\t0',
    'Uid:\t0\t0\t0\t0',
    'Gid:\t0\t0\t0\t0',
    'Threads:\t1',
    'Cpus_allowed:\t1',
    '',
  ].join('\n');
}
