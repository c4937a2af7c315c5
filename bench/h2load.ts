import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LoadResult } from './load.ts';

const run = promisify(execFile);

export interface H2loadTarget {
  readonly dir: string;
  readonly endpoint: string;
  readonly path: string;
  /** The protobuf message that every request carries. */
  readonly body: Buffer;
}

/** Drives a unary gRPC method with h2load: a fixed body, 8 connections with `inFlight / 8` streams each. */
export async function runH2load(
  target: H2loadTarget,
  { inFlight, seconds }: { inFlight: number; seconds: number },
): Promise<LoadResult> {
  const frame = Buffer.alloc(5 + target.body.length);
  frame.writeUInt32BE(target.body.length, 1);
  frame.set(target.body, 5);
  const file = join(target.dir, 'request.bin');
  writeFileSync(file, frame);
  const connections = 8;
  const shape = `-D ${seconds} --warm-up-time 1 -c ${connections} -m ${inFlight / connections}`.split(' ');
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const { stdout } = await run('h2load', [
    ...shape,
    '-d',
    file,
    ...headers,
    `https://${target.endpoint}${target.path}`,
  ]);
  const requests = /requests: (\d+) total, .*? (\d+) succeeded, (\d+) failed/.exec(stdout);
  const latency = /time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)/.exec(stdout);
  const operations = Number(requests?.[2] ?? 0);
  return {
    operations,
    perSecond: operations / seconds,
    // h2load prints a mean, not a median.
    p50Ms: Number(latency?.[1] ?? 0) * (latency?.[2] === 'us' ? 0.001 : latency?.[2] === 's' ? 1_000 : 1),
    p99Ms: Number.NaN,
    failures: Number(requests?.[3] ?? 0),
  };
}
