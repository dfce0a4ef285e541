/**
 * The command line as a person uses it. Whatever a user or a guest does wrong is one line and an exit status, never a stack
 * trace. What is about processes, streams and pipes is spawned from dist/, bundled first; the rest runs in this process.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildElf, code } from '../hostkernel/base/elf-builder.ts';
import { type Spoken, vkernel } from '../vkernel/cli/in-process.ts';
import { A0, A7, addi, ECALL, j, li, lw, sw } from '../hostkernel/kern/assembler.ts';

const MAIN = resolve('dist/vkernel/cli/main.js');
const ELF = resolve('userland/programs/elf');
const HELLO = join(ELF, 'hello-rv64');
const HELLO_32 = join(ELF, 'hello-rv32');

/** The command as a process of its own. */
function spawned(...args: string[]): Promise<Spoken> {
  return new Promise((settle) => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('close', (status) => settle({ status: status as number, stdout, stderr }));
  });
}

/** The command says one line, `text` in it, nothing else, and ends with `status`. */
async function expectRefusal(args: string[], status: number, text: string | RegExp): Promise<void> {
  const outcome = await vkernel(...args);
  expect(outcome.stderr).toMatch(/^vkernel: [^\n]+\n$/);
  expect(outcome.stderr).toMatch(text);
  expect(outcome.stdout).toBe('');
  expect(outcome.status).toBe(status);
}

let folder: string;

/** A file of the test's own. @returns its path */
function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** A program of a few instructions at 0x10000, with a page that can be read at 0x11000. */
function guest(name: string, words: readonly number[], xlen: 32 | 64 = 64): string {
  const segments = [
    { va: 0x10000, bytes: code(words), flags: 5 },
    { va: 0x11000, bytes: Uint8Array.of(1, 2, 3, 4), flags: 4 },
  ];
  return file(name, buildElf({ xlen, entry: 0x10000, segments }));
}

beforeAll(() => {
  spawnSync('npm', ['run', 'bundle', '--silent'], { stdio: 'ignore' });
  folder = mkdtempSync(join(tmpdir(), 'vkernel-cli-'));
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true }));

/** What it is, where it is, and what is said of it. */
const UNRUNNABLE: readonly (readonly [string, () => string, number, string])[] = [
  ['missing', () => '/nonexistent/program', 127, 'no such file'],
  ['in no directory', () => join(HELLO, 'x'), 127, 'no such file'],
  ['a directory', () => tmpdir(), 126, 'is a directory'],
  ['a device that never ends', () => '/dev/zero', 126, 'permission denied'],
  ['an empty file', () => file('empty', ''), 126, 'not an ELF file'],
  ['no ELF file', () => file('text', 'just text\n'), 126, 'not an ELF file'],
  ['cut off in its header', () => file('cut30', readFileSync(HELLO).subarray(0, 30)), 126, 'truncated'],
  ['cut off in a segment', () => file('cut3000', readFileSync(HELLO).subarray(0, 3000)), 126, 'truncated'],
  ['of another machine', () => file('other', buildElf({ xlen: 64, entry: 0, machine: 62, segments: [] })), 126, 'wrong machine'],
  [
    'dynamically linked',
    () =>
      file('dynamic', buildElf({ xlen: 64, entry: 0x10000, segments: [{ va: 0x10000, bytes: code([ECALL]) }], interpreter: '/lib/ld.so' })),
    126,
    'only static programs',
  ],
];

describe('a program that cannot be run', () => {
  test.each(UNRUNNABLE)('is %s', async (_, path, status, text) => {
    await expectRefusal(['run', path()], status, text);
    await expectRefusal(['host', path()], status, text);
  });

  test('is not in --root, or is a directory there, or --root is none', async () => {
    await expectRefusal(['run', '--root', ELF, '/nothing'], 127, 'no such file');
    await expectRefusal(['run', '--root', ELF, '/'], 126, 'is a directory');
    await expectRefusal(['run', '--root', '/nonexistent', '/x'], 2, '--root');
    await expectRefusal(['run', '--root', HELLO, '/x'], 2, '--root');
  });
});

describe('an option that cannot be had', () => {
  test.each(['1', '0', '15M', '5G', '4G', 'frob', '', '-5', '1e3', '99999999999G'])('is -m %s', async (size) => {
    await expectRefusal(['run', '-m', size, HELLO], 2, '-m');
  });

  test.each([
    [['--mmu', 'sv99'], /no layout 'sv99'; there are/],
    [['--vpte', 'sv99'], /no layout 'sv99'; there are/],
    [['--mmu', 'ept'], 'no hart walks it alone'],
    [['--mmu', 'sv32'], 'too few for a 64-bit program'],
    [['--vpte', 'sv32'], 'too few for a 64-bit program'],
    [['--trace', 'fault,frob'], "no event 'frob'"],
    [['--host-swap', '/not/there'], "'/not/there' is no size, and no file"],
    [['--host-swap', '4K'], 'too little'],
    [['--policy', 'lottery'], "'lottery' is none of fixed, weight"],
    [['--swap', '/not/there'], "--swap: '/not/there' is no size, and no file"],
    [['--swap', '0K'], 'a page of 4K is the least\n'],
    [['--image', 'frob'], "'frob' is no size"],
    [['--image', '1M'], 'too little'],
    [['-m', '32M', '--image', '32M'], '--host-swap'],
    [['--frob'], "unknown option '--frob'"],
  ] as const)('is %j', async (flags, text) => {
    await expectRefusal(['run', ...flags, HELLO], 2, text);
  });

  test('is an unknown or incomplete command', async () => {
    await expectRefusal(['frob'], 2, "unknown command 'frob'");
    await expectRefusal(['run'], 2, "missing required argument 'PROGRAM'");
    await expectRefusal(['demo', 'x'], 2, 'too many arguments');
    await expectRefusal(['run', '-m'], 2, 'argument missing');
  });
});

describe('a guest that dies', () => {
  test('of a read where nothing is mapped: address, pc, and which walk refused', async () => {
    const path = guest('null', [...li(A0, 0x123), lw(A0, 0, A0)]);
    await expectRefusal(
      ['run', path],
      139,
      /SIGSEGV: read at 0x123, pc 0x10004: nothing is mapped there \(virtual page table: not-valid at level \d\)/,
    );
    await expectRefusal(['host', path], 139, /SIGSEGV.*0x123.*pc 0x10004/);
  });

  test('of a write to what it may only read', async () => {
    const path = guest('constant', [...li(A0, 0x11000), sw(A0, 0, A0)]);
    await expectRefusal(
      ['run', path],
      139,
      /SIGSEGV: write at 0x11000, pc 0x10008: the mapping forbids it \(virtual page table: [a-z-]+ at level \d\)/,
    );
  });

  test('of a jump into data, on 32 bits', async () => {
    const path = guest('jump', [j(0x1000)], 32);
    await expectRefusal(['run', path], 139, /SIGSEGV: fetch at 0x11000, pc 0x11000: the mapping forbids it/);
  });

  test('of an instruction that there is not', async () => {
    await expectRefusal(['run', guest('illegal', [0xffff_ffff])], 132, /SIGILL.*pc 0x10000/);
    await expectRefusal(['host', guest('illegal', [0xffff_ffff])], 132, /SIGILL.*pc 0x10000/);
  });

  test('by its own hand', async () => {
    const path = guest('kill', [addi(A0, 0, 0), addi(11, 0, 15), addi(A7, 0, 129), ECALL]);
    await expectRefusal(['run', path], 143, 'SIGTERM');
  });
});

describe('host', () => {
  test('--file puts files where execve and openat find them; --sysctl sets what the kernel starts with', async () => {
    const program = join(ELF, 'processes-rv64');
    const ran = await vkernel('host', '--file', `/bin/other=${HELLO}`, program, 'exec');
    expect(ran.status).toBe(0);
    expect(ran.stdout).toContain('executed: exit 42');
    await expectRefusal(['host', '--file', '/bin/other', program], 2, '--file');
    await expectRefusal(['host', '--file', '/bin/other=/not/there', program], 2, '/not/there');
    await expectRefusal(['host', '--sysctl', 'vm.other=1', program], 2, '--sysctl');
    const refused = await vkernel('host', '--sysctl', 'vm.vkernel_enable=0', join(ELF, 'seed-modern-rv64'));
    expect(refused.stderr).toContain('Not supported');
  });
});

describe('a process', () => {
  test.each([
    ['a guest', ['run', HELLO, 'a', 'b c']],
    ['a program of the host kernel', ['host', '--stats', '--json', HELLO_32, 'x']],
    ['a program that is missing', ['run', '/nonexistent/program']],
    ['a look into a server', ['info', 'physmem', '--run', HELLO]],
    ['a drawing', ['layouts', 'show', 'sv39']],
    ['help', ['--help']],
  ] as const)('of %s says what it says in this process, and ends as it does', async (_, args) => {
    const outcome = await vkernel(...args);
    expect(outcome.stdout + outcome.stderr).not.toBe('');
    expect(await spawned(...args)).toEqual(outcome);
  });

  test('of a guest that dies does too', async () => {
    const path = guest('null', [...li(A0, 0x123), lw(A0, 0, A0)]);
    const outcome = await spawned('run', path);
    expect(outcome.status).toBe(139);
    expect(outcome).toEqual(await vkernel('run', path));
  });
});

describe('output', () => {
  test('is the program’s, and so is the exit status', async () => {
    expect(await vkernel('run', HELLO, 'a', 'b c')).toEqual({
      status: 0,
      stdout: 'hello from a 64-bit guest, 2 arguments\n  a\n  b c\n',
      stderr: '',
    });
    expect(await vkernel('run', HELLO_32)).toEqual({ status: 0, stdout: 'hello from a 32-bit guest, 0 arguments\n', stderr: '' });
    expect((await vkernel('host', HELLO, 'x')).stdout).toBe('hello from a 64-bit guest, 1 argument\n  x\n');
    expect((await vkernel('run', '--root', ELF, '/hello-rv64')).stdout).toMatch(/^hello/);
    expect(await vkernel('run', join(ELF, 'events-rv64'))).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^usage: events/) as string,
    });
    expect((await vkernel('run', guest('seven', [addi(A0, 0, 7), addi(A7, 0, 93), ECALL]))).status).toBe(7);
  });

  test('that nobody reads any more ends the command quietly', () => {
    const run = (command: string): { status: number | null; stdout: string; stderr: string } =>
      spawnSync('bash', ['-c', `${command}; echo "\${PIPESTATUS[0]}"`], {
        encoding: 'utf8',
        env: { ...process.env, V: `${process.execPath} ${MAIN}` },
      });
    expect(run('$V demo | head -n 1')).toMatchObject({ stdout: expect.stringMatching(/^machine .*\n(141|0)\n$/) as string, stderr: '' });
    expect(run('$V run --help | true')).toMatchObject({ stdout: expect.stringMatching(/^(141|0)\n$/) as string, stderr: '' });
    expect(run(`$V run --trace=ipc,rpc,map ${HELLO} 2>&1 >/dev/null | head -n 1 | wc -l`)).toMatchObject({
      stdout: expect.stringMatching(/^1\n(141|0)\n$/) as string,
      stderr: '',
    });
  });

  test('that finds no room is one line', () => {
    const full = openSync('/dev/full', 'w');
    for (const args of [['demo'], ['run', HELLO], ['--help']]) {
      const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
      expect(stderr).toBe(args[0] === 'run' ? stderr : 'vkernel: standard output: ENOSPC\n');
      expect(stderr).not.toContain('    at ');
      expect(status).toBe(1);
    }
    const { status } = spawnSync(process.execPath, [MAIN, 'demo'], { stdio: ['ignore', full, full] });
    expect(status).toBe(1);
  });

  test('of --stats --json is one JSON object on standard error', async () => {
    const { status, stdout, stderr } = await vkernel('run', '--stats', '--json', HELLO);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^hello/);
    const stats = JSON.parse(stderr) as Record<string, number>;
    expect(stats).toMatchObject({ hostFramesLost: 0, framesReturned: stats['framesHeld'] });
    expect(stats['instructions']).toBeGreaterThan(1000);
    expect(JSON.parse((await vkernel('host', '--stats', '--json', HELLO)).stderr)).toMatchObject({
      systemCalls: expect.any(Number) as number,
    });
  });

  test('of --trace=physmem is one line a request, in words', async () => {
    const { stdout, stderr } = await vkernel('run', '--trace=physmem', HELLO);
    expect(stdout).toMatch(/^hello/);
    const lines = stderr.trimEnd().split('\n');
    for (const line of lines) expect(line).toMatch(/^physmem \d+:\d+ \w+\(.*\) = (0|E\w+|no reply)/);
    expect(lines).toContainEqual(
      expect.stringMatching(
        / provide\(container 0x\w+, WRITE\|READ\|ALL_OR_NONE, vaddr 0x\w+, index 2P, size 1P\) = 0: amount 1P, 1P in 1 item$/,
      ),
    );
    const json = (await vkernel('run', '--trace=physmem', '--json', HELLO)).stderr.trimEnd().split('\n');
    expect(json.length).toBe(lines.length);
    expect(JSON.parse(json[0] as string)).toMatchObject({ kind: 'physmem', method: 'map', arguments: { index: 0, size: 32768 }, errno: 0 });
  });

  test('of info is what physmem holds, without that of the program', async () => {
    const { status, stdout, stderr } = await vkernel('info', 'physmem', '--json', '--run', HELLO, 'x');
    expect([status, stderr]).toEqual([0, 'hello from a 64-bit guest, 1 argument\n  x\n']);
    const { memory } = JSON.parse(stdout) as { memory: Record<string, number> };
    expect(memory['free'] + memory['bound'] + memory['fixed']).toBe(memory['received']);
    await expectRefusal(['info', 'physmem'], 2, 'of a run (--run PROGRAM) or of a crash dump (--dump FILE)?');
    await expectRefusal(['info', 'physmem', '--dump', HELLO], 2, 'is no crash dump');
    await expectRefusal(['info', 'physmem', '--at', '7', '--dump', HELLO], 2, '--at');
    const early = await vkernel('info', 'physmem', '--at', '1000000000', '--run', HELLO);
    expect(early).toMatchObject({ status: 1, stderr: expect.stringContaining('the guest ended before 1000000000 instructions') as string });
  });

  test('of --trace --json is one JSON object a line', async () => {
    const { stderr } = await vkernel('run', '--trace=syscall,fault', '--json', HELLO);
    const events = stderr
      .trimEnd()
      .split('\n')
      .map((one) => JSON.parse(one) as { kind: string });
    expect(new Set(events.map(({ kind }) => kind))).toEqual(new Set(['syscall', 'fault']));
  });

  test('of --help tells the commands and their options', async () => {
    const top = await vkernel('--help');
    expect(top.status).toBe(0);
    for (const word of ['demo', 'run', 'host']) expect(top.stdout).toContain(word);
    const help = await vkernel('run', '--help');
    expect(help.status).toBe(0);
    for (const word of ['--memory', '--mmu', '--vpte', '--root', '--stats', '--trace', '--json', 'PROGRAM'])
      expect(help.stdout).toContain(word);
    expect((await vkernel('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('of the demonstration ends with all frames accounted for, in 32 bits too', async () => {
    for (const flags of [[], ['--mmu', 'sv32']]) {
      const { status, stdout, stderr } = await vkernel('demo', '-m', '32M', ...flags);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(/Every frame is accounted for\.\n$/);
    }
  });

  test('of the demonstration is the same where its memory is sixty times larger than RAM', async () => {
    const plenty = await vkernel('demo', '-m', '128M', '--image', '60M');
    const short = await vkernel('demo', '-m', '1M', '--host-swap', '80M', '--image', '60M');
    expect([short.status, short.stderr]).toEqual([0, '']);
    const guestPart = ({ stdout }: Spoken) => stdout.split('\n').filter((line) => /^(sorted|kept|root|posix|task)/.test(line));
    expect(guestPart(short)).toEqual(guestPart(plenty));
    expect(short.stdout).toMatch(/ [1-9][\d,]+ {4}pages it read back\n/);
    expect(short.stdout).toMatch(/Every frame is accounted for\.\n$/);
  });

  test('of a program is the same with swap space for physmem, which the counters tell of', async () => {
    const swap = file('physmem-swap', new Uint8Array(1024 * 1024));
    const plain = await vkernel('run', '-m', '32M', HELLO, 'x');
    for (const [flags, pages] of [
      [['--swap', '64M'], 16384],
      [['--swap', swap, '--nest', '1'], 256],
    ] as const) {
      const { status, stdout, stderr } = await vkernel('run', '-m', '32M', '--stats', '--json', ...flags, HELLO, 'x');
      expect([status, stdout]).toEqual([plain.status, plain.stdout]);
      expect(JSON.parse(stderr)).toMatchObject({ swapPages: pages, swappedOut: 0, swappedIn: 0 });
    }
  });

  test('of a program that pages to a file is the same as without', async () => {
    const swap = file('swap', new Uint8Array(16 * 1024 * 1024));
    const sorter = join(ELF, 'sorter-rv64');
    const plenty = await vkernel('host', sorter, '2500');
    const short = await vkernel('host', '-m', '1M', '--host-swap', swap, sorter, '2500');
    expect(short).toEqual(plenty);
    expect(plenty.status).toBe(0);
    expect(readFileSync(swap).some((byte) => byte !== 0)).toBe(true);
  });
});
