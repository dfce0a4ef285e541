/**
 * The command `vkernel` for tests: bundled into a folder of its own, so that nothing waits for the package's build, and
 * called in a shell as a person would.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';

export interface Outcome {
  readonly status: number | null;
  readonly output: string; // of both streams, as it came
}

/** A folder with the command, and the guest programs by their names. */
export class CommandFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(programs: readonly string[]): Promise<CommandFolder> {
    const path = mkdtempSync(join(tmpdir(), 'vkernel-'));
    mkdirSync(join(path, 'bin', 'cli'), { recursive: true });
    const main = join(path, 'bin', 'cli', 'main.mjs');
    await build({
      entryPoints: [resolve('vkernel/cli/main.ts'), resolve('vkernel/cli/lab-worker.ts')],
      outdir: dirname(main),
      outExtension: { '.js': '.mjs' },
      bundle: true,
      splitting: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      logLevel: 'error',
      packages: 'external',
    });
    symlinkSync(resolve('node_modules'), join(path, 'bin', 'node_modules'));
    symlinkSync(resolve('userland'), join(path, 'userland'));
    const command = join(path, 'bin', 'vkernel');
    writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    chmodSync(command, 0o755);
    for (const name of programs) symlinkSync(resolve('userland/programs/elf', name), join(path, name));
    return new CommandFolder(path);
  }

  /** A file of the test's own. */
  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }

  /** Runs a line of shell in the folder. */
  run(line: string): Promise<Outcome> {
    return new Promise((settle) => {
      const child = spawn('/bin/sh', ['-c', `{ ${line}\n} 2>&1`], {
        cwd: this.path,
        env: { ...process.env, PATH: `${join(this.path, 'bin')}:${process.env['PATH'] ?? ''}` },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
      child.on('close', (status) => settle({ status, output }));
    });
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}
