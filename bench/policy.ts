/**
 * What it costs to decide: roles with 1,000 rules, of every shape, asked about names that rules are for and names that none is
 * for. Microseconds for one decision, the middle of some rounds.
 */
import { cpus } from 'node:os';
import { decide } from '../src/access/policy/decide.ts';
import { parsePolicy } from '../src/access/policy/policy.ts';
import { Rights } from '../src/access/policy/rights.ts';
import { SeededRandom } from '../src/base/random.ts';
import type { CommandBody } from '../src/command/body.ts';
import type { Operation, PolicyRule } from '../src/proto/storage.ts';

const RULES = 1_000;
const NAMES = 1_000;
const DECISIONS = 100_000;
const ROUNDS = 7;

const random = new SeededRandom(1);
const part = (): string => `part${random.integer({ min: 0, max: 40 })}`;
const nameOf = (segments: number): string => Array.from({ length: segments }, part).join('/');

/** Names, with `*` in the middle, and with `**` at the end; long ones too. */
function ruleOf(at: number): PolicyRule {
  const name = nameOf(1 + (at % 6));
  const path = [name, `${name}/*/${part()}`, `${name}/*`, `${name}/**`][at % 4] ?? name;
  return { path, capabilities: at % 17 === 0 ? [] : ['list', 'read', 'write', 'delete'] };
}

const rules = new Map(
  Array.from({ length: 4 * RULES }, (_, at) => ruleOf(at)).map((rule) => [rule.path, rule]),
);
const policy = parsePolicy({ role: 'bench', rules: [...rules.values()].slice(0, RULES), admin: [] });
const began = performance.now();
const asker = { kind: 'token', rights: new Rights([policy]) } as const;
const builtMs = performance.now() - began;

const body = (...success: Operation[]): CommandBody => ({
  kind: 'transaction',
  transaction: { compares: [], success, failure: [] },
});
const names = Array.from({ length: NAMES }, (_, at) => Buffer.from(nameOf(1 + (at % 7))));
const range = (start: Buffer, end: string) => ({ start, end: Buffer.from(end) });
const SHAPES: Readonly<Record<string, (name: Buffer) => CommandBody>> = {
  put: (key) => body({ put: { key, value: Buffer.alloc(0), previous: false } }),
  'delete of one name': (key) =>
    body({ delete: { range: range(key, `${key.toString()}\0`), previous: false } }),
  'delete of all below a name': (key) =>
    body({ delete: { range: range(key, `${key.toString()}0`), previous: false } }),
};

/** Microseconds for one decision. */
function measure(bodies: readonly CommandBody[]): {
  readonly microseconds: number;
  readonly allowed: number;
} {
  let allowed = 0;
  const beganMs = performance.now();
  for (let at = 0; at < DECISIONS; at += 1) {
    const one = bodies[at % bodies.length];
    if (one !== undefined && decide(asker, one).allowed) allowed += 1;
  }
  return { microseconds: ((performance.now() - beganMs) * 1_000) / DECISIONS, allowed: allowed / DECISIONS };
}

const lines = Object.entries(SHAPES).map(([shape, bodyOf]) => {
  const bodies = names.map(bodyOf);
  const rounds = Array.from({ length: ROUNDS }, () => measure(bodies));
  const sorted = rounds.map(({ microseconds }) => microseconds).toSorted((left, right) => left - right);
  const share = ((rounds[0]?.allowed ?? 0) * 100).toFixed(0);
  return `| ${shape} | ${(sorted[ROUNDS >> 1] ?? 0).toFixed(2)} | ${(sorted.at(-1) ?? 0).toFixed(2)} | ${share} % |`;
});
process.stdout.write(
  [
    `${cpus()[0]?.model ?? '?'}, Node ${process.version}; ${policy.rules.length} rules, made ready in ${builtMs.toFixed(1)} ms`,
    '',
    '| decision | µs, median | µs, most | allowed |',
    '|---|---|---|---|',
    ...lines,
    '',
  ].join('\n'),
);
