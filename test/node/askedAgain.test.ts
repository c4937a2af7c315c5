import { beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { NodeAccessPort } from '../../src/node/accessPort.ts';
import { NodeAuditPort } from '../../src/node/auditPort.ts';
import { type ClusterPortParts, NodeClusterPort } from '../../src/node/clusterPort.ts';
import { NodeUserPort } from '../../src/node/userPort.ts';

/** Who may do nothing any more once the node has caught up. */
const caller = { principal: { kind: 'token', name: 'x', address: '' }, deadlineMs: 7 };

let asked: string[];
let touched: string[];
const requireAreaCaughtUp = (_caller: unknown, area: string): Promise<void> => {
  asked.push(area);
  return Promise.reject(new HoldfastError('PERMISSION_DENIED', 'taken away meanwhile'));
};
beforeEach(() => {
  asked = [];
  touched = [];
});

/** Notes what of it is looked at. */
const untouchable = (what: string): object =>
  new Proxy({}, { get: (_, name) => void touched.push(`${what}.${String(name)}`) });

const cluster = () =>
  new NodeClusterPort({
    clock: { monotonicMs: () => 0, wallMs: () => 0 },
    authorisation: { requireAreaCaughtUp, readsAll: () => false, administers: () => false },
    store: untouchable('store'),
    core: {
      leadership: { isLeader: true },
      membership: untouchable('membership'),
      log: () => untouchable('log'),
    },
  } as unknown as ClusterPortParts);
const parts = { store: untouchable('store'), submit: {}, authorisation: { requireAreaCaughtUp } };
const port = <Port>(make: new (given: never) => Port, given: object): Port => new make(given as never);
const users = (): NodeUserPort => port(NodeUserPort, parts);
const access = (): NodeAccessPort => port(NodeAccessPort, parts);
const audit = (): NodeAuditPort => port(NodeAuditPort, { ...parts, nodeId: 'n' });

describe('what no command is judged for', () => {
  it.each<[string, string, () => Promise<unknown>]>([
    ['the roles', 'access', () => access().policyList(caller)],
    ['why something is allowed', 'access', () => access().explainPolicy(caller, explain)],
    ['the tokens', 'access', () => access().accessTokenList(caller)],
    ['the users', 'access', () => users().userList(caller)],
    ['the settings of the audit', 'audit', () => audit().settings(caller)],
    ['the head of the audit', 'audit', () => audit().head(caller, { sequence: 0 })],
    ['the audit', 'audit', () => audit().list(caller, records)],
    ['the join tokens', 'cluster', () => cluster().tokenList(caller)],
    ['a promotion', 'cluster', () => cluster().promoteMember(caller, { member: 'b' })],
    ['a demotion', 'cluster', () => cluster().demoteMember(caller, { member: 'b' })],
    ['a removal', 'cluster', () => cluster().removeMember(caller, { member: 'b', force: true })],
    ['a transfer', 'cluster', () => cluster().transferLeadership(caller, { member: 'b' })],
  ])('%s: is refused once the node has caught up, and nothing is done or read', async (_what, area, ask) => {
    await expect(ask()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect([asked, touched]).toEqual([[area], []]);
  });
});

const explain = { who: 'viewer', action: 'read', key: Buffer.from('a') };
const records = {
  fromSequence: 0,
  sinceMs: 0,
  untilMs: 0,
  limit: 0,
  principal: '',
  action: '',
  resource: '',
  result: '',
};
