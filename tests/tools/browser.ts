/** Runs a program in a browser without a window, on a page of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The page calls what the program exports and sends the outcome back. */
const PAGE = `<!doctype html><script type="module">
const tell = (path, text) => fetch(path, { method: 'POST', body: text });
try {
  const { run } = await import('/program.js');
  await tell('/done', await run());
} catch (error) {
  await tell('/failed', error instanceof Error ? String(error.stack) : String(error));
}
</script>`;

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions'];

/**
 * @param browser path of a Chromium
 * @param program an ES module that exports `run(): Promise<string>`
 * @returns what run() returns. Rejects with what it throws, or if the browser ends or says nothing for `patience` ms
 */
export async function runInBrowser(browser: string, program: string, patience = 60_000): Promise<string> {
  let finish: (outcome: string | Error) => void = () => {};
  const outcome = new Promise<string>((resolve, reject) => {
    finish = (text): void => (typeof text === 'string' ? resolve(text) : reject(text));
  });
  const server = createServer((request, response) => {
    const isProgram = request.url === '/program.js';
    response.setHeader('content-type', isProgram ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8');
    if (request.method !== 'POST') {
      response.end(isProgram ? program : PAGE);
      return;
    }
    bodyOf(request).then(
      (body) => {
        response.end();
        finish(request.url === '/done' ? body : new Error(body));
      },
      (error: unknown) => finish(error as Error),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const folder = mkdtempSync(join(tmpdir(), 'vkernel-browser-'));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const child = spawn(browser, [...FLAGS, `--user-data-dir=${folder}`, address], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a group of its own: the command may be a script that starts the browser
  });
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // all of them have ended
    }
  };
  process.once('exit', kill); // should the tests end before the page does
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.once('error', finish);
  child.once('exit', (status) => finish(new Error(`the browser ended with status ${status}; it said:\n${said}`)));
  const timer = setTimeout(() => finish(new Error(`the browser gave no answer in ${patience} ms; it said:\n${said}`)), patience);
  try {
    return await outcome;
  } finally {
    clearTimeout(timer);
    process.off('exit', kill);
    const isRunning = child.pid !== undefined && child.exitCode === null && child.signalCode === null;
    kill();
    if (isRunning) await once(child, 'exit');
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
