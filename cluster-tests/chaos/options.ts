import { parseArgs } from 'node:util';
import type { TargetKind } from './target.ts';

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: number;
  readonly target: TargetKind;
  /** `leader-kill`: nothing but that, `rounds` times. Names of faults: only these. */
  readonly only: ReadonlySet<string> | null;
  readonly rounds: number;
  /** Which program a node is started with: as it ships, with failpoints and small log windows, or now one, now the other. */
  readonly program: 'dist' | 'failpoints' | 'mixed';
  /** Network namespaces where the machine has them. */
  readonly namespaces: boolean;
  /** Where everything is kept; a folder under the temporary directory when null. */
  readonly dir: string | null;
  readonly keep: boolean;
  readonly segmentSeconds: number;
  readonly verbose: boolean;
  /** Between two operations of a client there is so many times the usual pause. */
  readonly pauseFactor: number;
  /** The control key changes all the time. */
  readonly rekey: boolean;
  /** The same faults on etcd afterwards, and both side by side; only what can be done to both. */
  readonly beside: boolean;
}

/** Not a fault beside others, but a run of its own. */
export const LEADER_KILL = 'leader-kill';

export const USAGE = `npm run test:chaos -- [options]
  --minutes N          how long faults go on (default 5)
  --seed S             decides what happens to whom (default 1)
  --nodes 3|5          (default 3)
  --target NAME        holdfast, or etcd: recovery times only, for comparison (default holdfast)
  --beside             only what can be done to both, first on holdfast and then on etcd, and a table of both
  --only leader-kill   kills the leader --rounds N times (default 30) under load, and nothing else
  --only FAULT,FAULT   only faults of these names
  --program NAME       dist, failpoints, or mixed: each start of a node decides (default mixed)
  --no-rekey           the control key stays; else it changes all the time, on holdfast
  --no-namespaces      all nodes on loopback, though the machine could do better
  --dir PATH           where data, logs and histories go, on a real disk
  --pause FACTOR       so many times the usual pause between a client's operations: rekeys come to an end sooner (default 1)
  --segment SECONDS    faults between two quiet phases (default 50)
  --keep               keep everything, also when all went well
  --verbose            every fault as it comes and goes
`;

/** @throws Error with a sentence */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string', default: '1' },
      nodes: { type: 'string', default: '3' },
      target: { type: 'string', default: 'holdfast' },
      only: { type: 'string' },
      rounds: { type: 'string', default: '30' },
      program: { type: 'string', default: 'mixed' },
      namespaces: { type: 'boolean', default: true },
      dir: { type: 'string' },
      segment: { type: 'string', default: '50' },
      pause: { type: 'string', default: '1' },
      keep: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      beside: { type: 'boolean', default: false },
      rekey: { type: 'boolean', default: true },
    },
  });
  const { target, program } = values;
  const only = values.only === undefined ? null : new Set(values.only.split(','));
  if (only?.has(LEADER_KILL) && only.size > 1) throw new Error(`--only ${LEADER_KILL} stands alone`);
  if (target !== 'holdfast' && target !== 'etcd') throw new Error('--target is holdfast or etcd');
  if (program !== 'dist' && program !== 'failpoints' && program !== 'mixed')
    throw new Error('--program is dist, failpoints or mixed');
  return {
    minutes: positive('--minutes', values.minutes),
    seed: positive('--seed', values.seed),
    nodes: positive('--nodes', values.nodes),
    target,
    only,
    rounds: positive('--rounds', values.rounds),
    program,
    namespaces: values.namespaces,
    dir: values.dir ?? null,
    segmentSeconds: positive('--segment', values.segment),
    keep: values.keep,
    verbose: values.verbose,
    pauseFactor: positive('--pause', values.pause),
    beside: values.beside,
    // For figures beside another cluster's there is nothing but the faults.
    rekey: values.rekey && target === 'holdfast' && !values.beside && only?.has(LEADER_KILL) !== true,
  };
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!(number > 0 && number < 1e9)) throw new Error(`${name} is a positive number`);
  return number;
}
