/**
 * /proc: the few files programs read to find out about themselves and the machine.
 *
 * What the machine has (memory, uptime) is asked from the process when a file is opened. Numbers that have no meaning
 * here are constants, and say so where they are: load is 0.00, there is one processor and one process.
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
  readonly isa: string;
  readonly release: string;
  readonly hostname: string;
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
  [
    'stat',
    (s) =>
      `cpu  ${ticks(s)} 0 0 0 0 0 0 0 0 0\ncpu0 ${ticks(s)} 0 0 0 0 0 0 0 0 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n`,
  ],
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

/** Mounts /proc. */
export function mountProc(fs: FileSystem, source: ProcSource): DirectoryInode {
  const { tree } = fs;
  const sealed = { dev: DEV_PROC, sealed: true };
  const proc = tree.makeDirectory(null, 0o555, sealed);
  const add = (directory: DirectoryInode, name: string, node: Inode): void => {
    directory.entries.set(name, node);
    if (node.kind === 'directory') {
      node.parent = directory;
      node.name = name;
      directory.nlink++;
    } else {
      node.nlink = 1;
    }
  };
  const file = (directory: DirectoryInode, name: string, text: (source: ProcSource) => string): void =>
    add(
      directory,
      name,
      tree.makeGenerated(0o444, () => text(source), DEV_PROC),
    );
  const subdirectory = (directory: DirectoryInode, name: string): DirectoryInode => {
    const present = directory.entries.get(name);
    if (present?.kind === 'directory') return present;
    const made = tree.makeDirectory(directory, 0o555, sealed);
    add(directory, name, made);
    return made;
  };
  for (const [name, text] of KERNEL_FILES) file(proc, name, text);
  for (const [path, text] of SYSTEM_FILES) {
    const names = path.split('/');
    let at = subdirectory(proc, 'sys');
    for (const name of names.slice(0, -1)) at = subdirectory(at, name);
    file(at, names[names.length - 1], text);
  }
  const self = subdirectory(proc, `${source.pid}`);
  for (const [name, text] of PROCESS_FILES) file(self, name, text);
  const link = (name: string, target: () => string, jump: () => Inode | null): void =>
    add(self, name, tree.makeSymlink(target, DEV_PROC, jump));
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
  const descriptors = tree.makeDirectory(self, 0o500, { ...sealed, computed: descriptorDirectory(fs, source) });
  add(self, 'fd', descriptors);
  const task = subdirectory(subdirectory(self, 'task'), `${source.pid}`);
  file(task, 'comm', (s) => `${s.name()}\n`);
  add(proc, 'self', tree.makeSymlink(`${source.pid}`, DEV_PROC));
  add(proc, 'thread-self', tree.makeSymlink(`${source.pid}/task/${source.pid}`, DEV_PROC));
  fs.mount('proc', proc);
  return proc;
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
        link = fs.tree.makeSymlink(
          () => source.descriptor(fd)?.path ?? '',
          DEV_PROC,
          () => source.descriptor(fd)?.node ?? null,
        );
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

function processStat(source: ProcSource): string {
  const zeros = Array.from({ length: 30 }, () => '0').join(' ');
  return `${source.pid} (${source.name()}) R 1 ${source.pid} ${source.pid} 0 -1 0 0 0 0 0 ${ticks(source)} 0 0 0 20 0 1 0 0 ${zeros}\n`;
}

function processStatus(source: ProcSource): string {
  return [
    `Name:\t${source.name()}`,
    'Umask:\t0022',
    'State:\tR (running)',
    `Tgid:\t${source.pid}`,
    `Pid:\t${source.pid}`,
    'PPid:\t1',
    'TracerPid:\t0',
    'Uid:\t0\t0\t0\t0',
    'Gid:\t0\t0\t0\t0',
    'Threads:\t1',
    'Cpus_allowed:\t1',
    '',
  ].join('\n');
}
