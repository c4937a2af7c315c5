import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { certificateHosts } from '../../src/node/certificateHosts.ts';
import { loadConfiguration } from '../../src/node/configuration.ts';
import { withLoopback } from '../../src/trust/certificateNames.ts';

function hosts(flags: Readonly<Record<string, string>>): readonly string[] {
  return certificateHosts(
    loadConfiguration({ flags: new Map(Object.entries(flags)), environment: {}, file: null }),
  );
}

describe('the names in a certificate', () => {
  it('are where the node listens and is reached, what was added, and loopback, each once', () => {
    expect(
      hosts({
        listenApi: '10.0.0.1:1',
        listenPeer: '10.0.0.1:2',
        advertiseApi: 'api.internal:1',
        advertisePeer: '[2001:db8::1]:2',
        tlsSan: 'db.internal,localhost',
      }),
    ).toEqual(['10.0.0.1', 'api.internal', '2001:db8::1', 'db.internal', 'localhost', '127.0.0.1', '::1']);
  });

  it('are never a wildcard', () => {
    const flags = { listenApi: '0.0.0.0:1', advertiseApi: 'a:1', listenPeer: '[::]:2', advertisePeer: 'b:2' };
    expect(hosts(flags)).toEqual(['a', 'b', 'localhost', '127.0.0.1', '::1']);
  });

  it('are never too many for a certificate', () => {
    const tlsSan = Array.from({ length: LIMITS.certificateNamesAddedMax }, (_, number) => `h${number}`).join(
      ',',
    );
    const flags = { tlsSan, listenApi: 'a:1', listenPeer: 'b:2', advertiseApi: 'c:1', advertisePeer: 'd:2' };
    expect(hosts(flags).length).toBeLessThanOrEqual(LIMITS.certificateNamesMax);
  });

  it('of a joiner get loopback as well', () => {
    expect(withLoopback(['localhost', 'x'])).toEqual(['localhost', 'x', '127.0.0.1', '::1']);
  });
});
