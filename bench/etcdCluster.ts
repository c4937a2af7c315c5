import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';

const NODES = [1, 2, 3] as const;
const PEER_PORT = 23_800;
const CLIENT_PORT = 23_790;
const READY_WITHIN_MS = 30_000;

/** Three etcd processes with TLS for peers and clients, in a folder of their own under the temporary directory. */
export class EtcdCluster {
  readonly endpoints = NODES.map((node) => `127.0.0.1:${CLIENT_PORT + 100 * node}`);
  readonly dir = mkdtempSync(join(tmpdir(), 'bench-etcd-'));
  readonly #children: ChildProcess[] = [];

  static available(): boolean {
    return ['etcd', 'h2load', 'openssl'].every((tool) => {
      try {
        execFileSync('which', [tool], { stdio: 'ignore' });
        return true;
      } catch {
        return false;
      }
    });
  }

  get authority(): Buffer {
    return readFileSync(join(this.dir, 'ca.pem'));
  }

  async start(): Promise<void> {
    makeCertificates(this.dir);
    const members = NODES.map((node) => `n${node}=https://127.0.0.1:${PEER_PORT + 100 * node}`).join(',');
    for (const node of NODES) this.#children.push(startMember({ dir: this.dir, node, members }));
    for (const endpoint of this.endpoints) await listening(endpoint, this.authority);
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }),
    );
  }
}

function startMember({ dir, node, members }: { dir: string; node: number; members: string }): ChildProcess {
  const client = `https://127.0.0.1:${CLIENT_PORT + 100 * node}`;
  const peer = `https://127.0.0.1:${PEER_PORT + 100 * node}`;
  const files = { cert: join(dir, 'node.pem'), key: join(dir, 'node.key'), ca: join(dir, 'ca.pem') };
  const log = openSync(join(dir, `n${node}.log`), 'a');
  const settings = {
    name: `n${node}`,
    'data-dir': join(dir, `n${node}`),
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': members,
    'initial-cluster-state': 'new',
    'initial-cluster-token': 'bench',
    'cert-file': files.cert,
    'key-file': files.key,
    'peer-cert-file': files.cert,
    'peer-key-file': files.key,
    'peer-trusted-ca-file': files.ca,
    'peer-client-cert-auth': 'true',
    'log-level': 'error',
    logger: 'zap',
  };
  const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  return spawn('etcd', flags, { stdio: ['ignore', log, log] });
}

function makeCertificates(dir: string): void {
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  run('req', '-x509', ...curve, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', '/CN=bench');
  run('req', ...curve, '-keyout', 'node.key', '-out', 'node.csr', '-subj', '/CN=node');
  writeFileSync(join(dir, 'node.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const signing = [
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    '30',
    '-extfile',
    'node.ext',
  ];
  run('x509', '-req', '-in', 'node.csr', '-out', 'node.pem', ...signing);
}

async function listening(endpoint: string, ca: Buffer): Promise<void> {
  const [host = '', port] = endpoint.split(':');
  const deadlineMs = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const socket = connect({ host, port: Number(port), ca });
    try {
      await once(socket, 'secureConnect');
      return;
    } catch (thrown) {
      if (performance.now() > deadlineMs) throw thrown;
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
    } finally {
      socket.destroy();
    }
  }
}
