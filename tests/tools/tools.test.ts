/** What other tests stand on: a Redis server that comes and goes, xz files, and the programs that were found. */
import { spawnSync } from 'node:child_process';
import { createConnection } from 'node:net';
import { describe, expect, test } from 'vitest';
import xz from 'xz-decompress';
import { CHROMIUM, isHere, OTHER_NODE, REDIS } from './find.ts';
import { runInBrowser } from './browser.ts';
import { startRedis } from './redis.ts';
import { xzStored } from './xz.ts';

/** Whether somebody takes connections at `url`. */
async function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(Number(new URL(url).port), '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

describe.runIf(isHere(REDIS, 'a Redis server of a test’s own'))('a Redis server', () => {
  test('answers until it is stopped', async () => {
    const server = await startRedis(REDIS.path as string);
    expect(await answers(server.url)).toBe(true);
    await server.stop();
    expect(await answers(server.url)).toBe(false);
  });

  test('that cannot start is an error with what it said', async () => {
    await expect(startRedis('/nowhere/redis-server')).rejects.toThrow(/did not start .*ENOENT/);
    await expect(startRedis(process.execPath)).rejects.toThrow(/ended with status 9/); // node knows no --port
  });
});

test.runIf(isHere(OTHER_NODE, 'a second release of Node'))('the second Node is of another release', () => {
  const { stdout } = spawnSync(OTHER_NODE.path as string, ['--version'], { encoding: 'utf8' });
  const release = Number.parseInt(stdout.slice(1), 10);
  expect(Math.max(release, Number.parseInt(process.versions.node, 10))).toBeGreaterThanOrEqual(24);
  expect(release).not.toBe(Number.parseInt(process.versions.node, 10));
});

describe.runIf(isHere(CHROMIUM, 'a browser'))('a browser', () => {
  const browser = CHROMIUM.path as string;

  test('gives back what a program returns, or throws', async () => {
    const text = runInBrowser(browser, "export const run = async () => 'ä\\n' + typeof process + typeof document;");
    const failure = runInBrowser(browser, "export const run = () => { throw new Error('nothing works'); };");
    // Both are awaited from the start: whichever comes first, nobody is there to miss a rejection.
    await Promise.all([expect(text).resolves.toBe('ä\nundefinedobject'), expect(failure).rejects.toThrow(/nothing works/)]);
  });

  test('that is none, or hangs, is an error', async () => {
    await expect(runInBrowser('/nowhere/chromium', '')).rejects.toThrow(/ENOENT/);
    await expect(runInBrowser(process.execPath, '')).rejects.toThrow(/ended with status 9/); // node has no such option
    await expect(runInBrowser(browser, 'export const run = () => new Promise(() => {});', 1)).rejects.toThrow(/no answer in 1 ms/);
  });
});

describe('an xz file of stored chunks', () => {
  const contents = (bytes: number): Buffer => Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * i) >> 5));

  async function unpacked(file: Buffer<ArrayBuffer>): Promise<Buffer> {
    return Buffer.from(await new Response(new xz.XzReadableStream(new Blob([file]).stream())).arrayBuffer());
  }

  test.each([0, 1, 3, 65_535, 65_536, 65_537, 200_000])('of %i bytes is read back', async (bytes) => {
    expect((await unpacked(xzStored(contents(bytes)))).equals(contents(bytes))).toBe(true);
  });

  test('may follow another', async () => {
    const file = Buffer.concat([xzStored(contents(10)), xzStored(contents(5))]);
    expect(await unpacked(file)).toEqual(Buffer.concat([contents(10), contents(5)]));
  });

  test('with a wrong byte in it is refused', async () => {
    const file = xzStored(contents(1000));
    file[500] ^= 1;
    await expect(unpacked(file)).rejects.toThrow(/error code 7/);
  });
});
