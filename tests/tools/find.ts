/**
 * The programs that some tests need beside this Node, and where they are on this machine. `npm run tools` installs them;
 * a test that misses its tool does not run, and says so where nobody overlooks it.
 */
import { existsSync, writeSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

export interface Tool {
  readonly name: string;
  readonly path: string | null; // null: not on this machine
}

/** A tool by the variable that names it, or by any of the names programs of its kind have. */
function tool(name: string, variable: string, programs: readonly string[]): Tool {
  const named = process.env[variable];
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`${variable} names ${named}, which does not exist`);
    return { name, path: named };
  }
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const places = programs.flatMap((program) =>
    program.includes('/') ? [resolve(program)] : folders.map((folder) => join(folder, program)),
  );
  return { name, path: places.find((place) => existsSync(place)) ?? null };
}

export const REDIS = tool('redis-server', 'VKERNEL_REDIS', ['redis-server', 'valkey-server']);
export const CHROMIUM = tool('chromium', 'VKERNEL_CHROMIUM', ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']);
/** A Node of another release: 24 or later if this one is older, else an older one. */
export const OTHER_NODE = tool('a second release of Node', 'VKERNEL_NODE', [
  `.tools/node_modules/node-${process.platform}-${process.arch}/bin/node`,
]);

/**
 * Whether the tool is here. If not, says past the test runner's own output what is not tested because of it.
 * @param subject what the tests are about, as "the sweep over Redis"
 */
export function isHere(needed: Tool, subject: string): boolean {
  if (needed.path !== null) return true;
  writeSync(2, `\n*** NOT TESTED: ${subject}. This needs ${needed.name}, which is not on this machine: run \`npm run tools\`.\n\n`);
  return false;
}
