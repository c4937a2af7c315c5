import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

it('a server that cannot start ends, though its parent holds a channel to it', async () => {
  const dataDir = join(tmpdir(), 'holdfast-no-such-directory');
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, 'server', '--data-dir', dataDir], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const gone = once(child, 'exit', { signal: AbortSignal.timeout(20_000) });
  try {
    expect(await gone).toEqual([1, null]);
  } finally {
    child.kill('SIGKILL');
  }
}, 30_000);
