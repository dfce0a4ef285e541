import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
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

/** Tests whose time is spent in hot loops: of the interpreter, of the timing model. */
const HOT = /\/tests\/(hostkernel\/machine\/timing|userland|vkernel\/nest|bench\/lab|system|fuzz)\/.*\.test\.ts$/;

/**
 * Makes such a file one module with all that it imports of ours. Where modules are loaded one by one, every use of something
 * imported goes through a getter of the test runner, and such loops run up to three times slower. For all others loading
 * what the worker has not got yet costs less.
 */
const oneModule: Plugin = {
  name: 'one-module',
  enforce: 'pre',
  async load(id) {
    if (!HOT.test(id)) return null;
    const file = resolve('node_modules/.vitest', `${relative('tests', id)}.mjs`);
    await build({
      entryPoints: [id],
      outfile: file,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      sourcemap: 'inline',
      define: { 'import.meta.url': ADDRESS },
      plugins: [ownAddress],
      logLevel: 'silent',
    });
    const address = JSON.stringify(pathToFileURL(file).href);
    return { code: `process.setSourceMapsEnabled(true); await import(${address});`, map: null };
  },
};

export default defineConfig({
  plugins: [oneModule],
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
