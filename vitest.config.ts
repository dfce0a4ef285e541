import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin as EsbuildPlugin } from 'esbuild';
import { defineConfig, type Plugin } from 'vitest/config';

/** What `import.meta.url` is in a module that has become part of another file: a constant of its own. */
const ADDRESS = '__ownAddress';
const ownAddress: EsbuildPlugin = {
  name: 'own-address',
  setup(builder) {
    builder.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const address = `const ${ADDRESS} = ${JSON.stringify(pathToFileURL(path).href)};`;
      return { contents: `${address}${readFileSync(path, 'utf8')}`, loader: 'ts' };
    });
  },
};

const TEST_FILE = /\/tests\/.*\.test\.ts$/;
/** Read places out of stacks, as the sources have them: these are loaded module by module. */
const READS_STACKS = /\/tests\/(hostkernel\/vm\/kernel-memory|vkernel\/cli\/crash)\.test\.ts$/;

/** Bundles all test files into `folder`. What several import becomes a module of its own there. */
async function bundle(folder: string): Promise<void> {
  const files = readdirSync('tests', { recursive: true, encoding: 'utf8' }).map((name) => resolve('tests', name));
  await build({
    entryPoints: files.filter((file) => TEST_FILE.test(file)),
    outdir: folder,
    outbase: 'tests',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    define: { 'import.meta.url': ADDRESS },
    plugins: [ownAddress],
    logLevel: 'silent',
  });
}

/**
 * Runs the test files from a bundle, by node's own loader. Where modules are loaded one by one, every use of something
 * imported goes through a getter of the test runner, and hot loops run up to three times slower; and each costs some
 * milliseconds. A worker loads a module of the bundle once, and what it has compiled serves all its files.
 */
function fromBundle(): Plugin {
  const folder = resolve('node_modules/.vitest', String(process.pid));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  let bundled: Promise<void> | null = null;
  return {
    name: 'from-bundle',
    enforce: 'pre',
    watchChange() {
      bundled = null;
    },
    async load(id) {
      if (!TEST_FILE.test(id) || READS_STACKS.test(id)) return null;
      bundled ??= bundle(folder);
      await bundled;
      const file = join(folder, relative('tests', id).replace(/\.ts$/, '.mjs'));
      return { code: `process.setSourceMapsEnabled(true); await import(${JSON.stringify(pathToFileURL(file).href)});`, map: null };
    },
  };
}

export default defineConfig({
  plugins: [fromBundle()],
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 180_000, // of a busy machine; most tests take milliseconds
    hookTimeout: 180_000,
    pool: 'threads',
    maxWorkers: 2,
    // The files of a worker share what they import: no module keeps state that one file could leave for another, and what
    // is loaded and compiled once serves them all. So no file may replace a module (vi.mock).
    isolate: false,
  },
});
