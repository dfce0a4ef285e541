/** A Redis server of a test's own: on a free port of this machine, in a folder that goes with it, keeping nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const READY = 'Ready to accept connections';
const PATIENCE = 10_000; // milliseconds

export interface RedisServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** @param program path of redis-server */
export async function startRedis(program: string): Promise<RedisServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'vkernel-redis-'));
  const quiet = ['--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction', '--daemonize', 'no'];
  const server = spawn(program, ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...quiet], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): boolean => server.kill('SIGKILL'); // should the tests end without stop()
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    await end(server);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await ready(server);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis://127.0.0.1:${port}`, stop };
}

/** A port nobody listens on now; another could take it before we do, and then the server says so. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Waits until the server takes connections. */
async function ready(server: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const failed = (why: string): void => reject(new Error(`redis-server ${why}; it said:\n${said}`));
    const timer = setTimeout(() => failed(`was not ready after ${PATIENCE} ms`), PATIENCE);
    server.once('error', (error) => failed(`did not start (${error.message})`));
    server.once('exit', (status) => failed(`ended with status ${status}`));
    server.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    server.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (!said.includes(READY)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Ends the server: asks, and after a second does not ask. */
async function end(server: ChildProcess): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  const timer = setTimeout(() => server.kill('SIGKILL'), 1000);
  await ended;
  clearTimeout(timer);
}
