/**
 * The suite of physmem, over a core with a defect: the sources are patched while they are bundled in memory, so that the
 * project itself carries no switch for tests. A patch that does not apply exactly once is an error: the code has
 * changed, and the defect must be put in anew.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { compileFunction, Script } from 'node:vm';
import { build, type Plugin } from 'esbuild';
import { expect } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

/** A piece of text in one file of the core, and what stands there instead. */
export interface Patch {
  readonly file: string; // below vkernel/physmem/
  readonly find: string; // occurs exactly once
  readonly replace: string;
}

export interface CollectedTest {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

/** What a bundle gives: the tests its files register, and the exports of its entry. */
export interface PatchedSuite {
  readonly tests: readonly CollectedTest[];
  readonly exports: Readonly<Record<string, unknown>>;
}

/**
 * Bundles and loads the modules at `paths` (from the root of the project) over the patched core, if wanted without the
 * assertions in it.
 */
export async function loadPatched(paths: readonly string[], patches: readonly Patch[], withoutAssertions = false): Promise<PatchedSuite> {
  const unused = new Set(patches);
  const result = await build({
    stdin: { contents: paths.map((path) => `export * from './${path}';`).join('\n'), resolveDir: ROOT, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    packages: 'external',
    logLevel: 'silent',
    plugins: [patching(patches, unused, withoutAssertions)],
  });
  if (unused.size > 0) throw new Error(`no such file: ${[...unused].map(({ file }) => file).join(', ')}`);
  const tests: CollectedTest[] = [];
  const module = { exports: {} as Record<string, unknown> };
  const load = compileFunction(result.outputFiles[0].text, ['require', 'module', 'exports']);
  load(requireFor(tests), module, module.exports);
  return { tests, exports: module.exports };
}

const CALL = new Script('callWithPatience()');

/** Calls `body`; one that does not come back in `patience` ms fails. Defects make endless loops. */
export function withPatience<T>(body: () => T, patience: number): T {
  const scope = globalThis as { callWithPatience?: () => T };
  scope.callWithPatience = body;
  try {
    return CALL.runInThisContext({ timeout: patience }) as T;
  } finally {
    delete scope.callWithPatience;
  }
}

function patching(patches: readonly Patch[], unused: Set<Patch>, withoutAssertions: boolean): Plugin {
  return {
    name: 'defects',
    setup: (bundle) => {
      bundle.onLoad({ filter: /vkernel\/physmem\/.*\.ts$/ }, ({ path }) => {
        let contents = readFileSync(path, 'utf8');
        for (const patch of patches) {
          if (path !== `${ROOT}vkernel/physmem/${patch.file}`) continue;
          const times = contents.split(patch.find).length - 1;
          if (times !== 1) throw new Error(`${patch.file}: the text to replace occurs ${times} times:\n${patch.find}`);
          contents = contents.replace(patch.find, () => patch.replace);
          unused.delete(patch);
        }
        if (withoutAssertions) contents = contents.replaceAll(/^( *)kassert\(/gm, '$1false && kassert(');
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** `require` of a bundle: its `vitest` registers tests instead of running them. */
function requireFor(tests: CollectedTest[]): (name: string) => unknown {
  const require = createRequire(import.meta.url);
  const prefix: string[] = [];
  const test = (name: string, run: () => void | Promise<void>): void => {
    tests.push({ name: [...prefix, name].join(' '), run });
  };
  const each =
    (register: (name: string, run: () => void | Promise<void>) => void) =>
    (rows: readonly unknown[]) =>
    (name: string, run: (...row: unknown[]) => void): void => {
      for (const row of rows) register(`${name} ${String(row)}`, () => run(...(Array.isArray(row) ? row : [row])));
    };
  const describe = (name: string, body: () => void): void => {
    prefix.push(name);
    body();
    prefix.pop();
  };
  const collector = {
    expect,
    test: Object.assign(test, { each: each(test) }),
    describe: Object.assign(describe, { each: each(describe) }),
  };
  return (name) => (name === 'vitest' ? collector : require(name));
}
