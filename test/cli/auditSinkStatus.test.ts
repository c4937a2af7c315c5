import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliRig } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
afterAll(() => rig.close());

async function cli(...words: string[]) {
  const { stdout } = await rig.cli([...words, '--timeout', '2s', '--output', 'json']);
  return { json: JSON.parse(stdout.toString()) as unknown };
}

describe('the audit sink of a node', () => {
  const auditSink = {
    kind: 'http',
    host: 'logs.internal',
    deliveredSequence: 40,
    behind: 2,
    lost: 0,
    failingSinceMs: 0,
    errorCode: '',
    error: '',
  };
  afterAll(() => {
    rig.node.told = { warnings: [] };
  });

  it('is shown where there is one', async () => {
    expect((await cli('status')).json).toMatchObject({ nodes: [{ auditSink: null }] });
    rig.node.told = { warnings: [], auditSink };
    const { failingSinceMs: _, ...fields } = auditSink;
    expect((await cli('status')).json).toMatchObject({
      nodes: [{ auditSink: { ...fields, failingSince: '' } }],
    });
    const { stdout } = await rig.cli(['status', '--timeout', '300ms']);
    expect(String(stdout)).toContain(
      'fake: audit sink http logs.internal, delivered up to record 40, 2 behind\n',
    );
  });

  it('says since when it fails', async () => {
    const failure = {
      failingSinceMs: 1_000,
      errorCode: 'UNAVAILABLE',
      error: 'the endpoint\u001b[2J answered 500',
    };
    rig.node.told = { warnings: [], auditSink: { ...auditSink, host: '', ...failure } };
    const { stdout } = await rig.cli(['status', '--timeout', '300ms']);
    expect(String(stdout)).toContain(
      'fake: audit sink http, delivered up to record 40, 2 behind, failing since 1970-01-01T00:00:01.000Z\n',
    );
    expect((await cli('status')).json).toMatchObject({
      nodes: [
        {
          auditSink: {
            failingSince: '1970-01-01T00:00:01.000Z',
            errorCode: 'UNAVAILABLE',
            error: 'the endpoint\\u{1b}[2J answered 500',
          },
        },
      ],
    });
  });
});
