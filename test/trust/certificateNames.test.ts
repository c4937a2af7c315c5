import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { Member } from '../../src/proto/storage.ts';
import { checkHosts, refuseHostsOfOthers } from '../../src/trust/certificateNames.ts';

const named = (count: number): string[] => Array.from({ length: count }, (_, number) => `h${number}`);

describe('hosts for a certificate', () => {
  it('are as many as it carries beside loopback, and loopback may be among them', () => {
    const most = LIMITS.certificateNamesMax - 3;
    checkHosts(named(most));
    checkHosts([...named(most), 'localhost', '127.0.0.1', '::1']);
    expect(() => checkHosts(named(most + 1))).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        field: 'hosts',
        hint: expect.stringContaining('tls-san') as string,
      }),
    );
    expect(() => checkHosts(Array<string>(LIMITS.certificateNamesMax + 1).fill('a'))).toThrow('more than');
  });

  it.each(['', 'a b', '*.example', '[::1]', 'fe80::1%eth0', 'a:1'])(
    'are names or addresses, and not %j',
    (host) => {
      expect(() => checkHosts([host])).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'hosts' }),
      );
    },
  );
});

const member = (nodeId: string, peerAddress: string, apiAddress = peerAddress): Member => ({
  nodeId,
  name: `n${nodeId}`,
  peerAddress,
  apiAddress,
  wantedRole: 'voter',
});
const MEMBERS = [
  member('1', 'one.example:7441', 'api.one.example:7440'),
  member('2', '[2001:DB8::2]:7441', '10.0.0.2:7440'),
  member('3', 'shared.example:7441', '127.0.0.1:7440'),
  member('4', 'shared.example:8441', 'localhost:8440'),
];

describe('a certificate for where another member is reached', () => {
  it.each(['one.example', 'API.one.example', '2001:db8:0::2', '10.0.0.2'])('is refused: %s', (host) => {
    const owner = { nodeId: '3', advertised: [] };
    expect(() => refuseHostsOfOthers(['free.example', host], owner, MEMBERS)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        field: 'hosts',
        hint: expect.stringContaining('tls-san') as string,
      }),
    );
  });

  it('is for the member itself, for those that advertise the same, and loopback for all', () => {
    const own = { nodeId: '1', advertised: [] };
    refuseHostsOfOthers(['one.example', 'api.one.example', 'more.example', '10.0.0.1'], own, MEMBERS);
    refuseHostsOfOthers(['shared.example'], { nodeId: '3', advertised: [] }, MEMBERS);
    refuseHostsOfOthers(['localhost', '127.0.0.1', '127.0.0.9', '::1'], own, MEMBERS);
  });

  it('is for a node that is no member yet as it says of itself', () => {
    const joiner = { nodeId: '5', advertised: ['shared.example:9441', '10.0.0.5:9440'] };
    refuseHostsOfOthers(['shared.example', '10.0.0.5'], joiner, MEMBERS);
    expect(() => refuseHostsOfOthers(['10.0.0.2'], joiner, MEMBERS)).toThrow('where member n2 is reached');
  });
});
