import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Toxiproxy } from 'toxiproxy-node-client';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const TSX = createRequire(import.meta.url).resolve('tsx/cli');

export interface ProxyServer {
  readonly client: Toxiproxy;
  /** Whether it is the real Toxiproxy at TOXIPROXY_URL and not our own process. */
  readonly foreign: boolean;
  stop(): Promise<void>;
}

/** A client of the Toxiproxy at TOXIPROXY_URL, or, without that, of our own proxy in a process of its own. */
export async function startProxyServer(): Promise<ProxyServer> {
  const url = process.env['TOXIPROXY_URL'] ?? '';
  if (url !== '') {
    const client = new Toxiproxy(url.replace(/\/$/, ''));
    return { client, foreign: true, stop: () => Promise.resolve() };
  }
  const child = spawn(process.execPath, [TSX, MAIN, '--port', '0', '--with-stdin'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ownUrl = await firstLine(child);
  return {
    client: new Toxiproxy(ownUrl),
    foreign: false,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.stdin?.end();
      child.kill('SIGTERM');
      await gone;
    },
  };
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('no output of the proxy');
  const lines = createInterface({ input: child.stdout });
  const gone = once(child, 'exit').then(() => {
    throw new Error('the fault proxy ended before it listened');
  });
  const [line] = (await Promise.race([once(lines, 'line'), gone])) as [string];
  return line;
}
