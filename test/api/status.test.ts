import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { apiFailure, callerError, grpcStatus, STATUS_OF_CODE } from '../../src/api/status.ts';
import { ERROR_CODES, type ErrorCode, HoldfastError } from '../../src/base/errors.ts';
import { failureOfAnswer, failureOfStatus } from '../../src/client/failure.ts';

const CODES = Object.keys(ERROR_CODES) as ErrorCode[];
const AWKWARD = 'Grüße \u{1f511} 100 % \n "\ud800"';

describe('errors on the wire', () => {
  it.each(CODES)('%s comes back as itself, as a status and inside a stream', (code) => {
    const sent = new HoldfastError(code, 'a message', { field: 'a.field', hint: 'a hint', cause: 'secret' });
    const asStatus = grpcStatus(sent, 'host:1');
    expect(asStatus.code).not.toBe(status.OK);
    expect(JSON.stringify(asStatus)).not.toContain('secret');
    const overStatus = failureOfStatus(asStatus, 'host:2');
    const overStream = failureOfAnswer(apiFailure(sent, 'host:1'));
    for (const { error, answered } of [overStatus, overStream]) {
      expect(error).toMatchObject({ code, message: 'a message', field: 'a.field', hint: 'a hint' });
      expect(answered).toBe(true);
    }
    expect(overStream.leader).toBe(overStatus.leader);
  });

  it('has a status for exactly the closed list', () => {
    expect(Object.keys(STATUS_OF_CODE).sort()).toEqual([...CODES].sort());
  });

  it('carries text that is no ASCII in printable ASCII', () => {
    const sent = grpcStatus(new HoldfastError('INTERNAL', AWKWARD, { field: AWKWARD, hint: AWKWARD }), null);
    for (const name of ['holdfast-field', 'holdfast-hint']) {
      expect(String(sent.metadata.get(name)[0])).toMatch(/^[ -~]*$/);
    }
    const { error } = failureOfStatus(sent, 'host:1');
    expect(error.hint).toBe(AWKWARD.replace('\ud800', '\ufffd'));
    expect(() => encodeURI(sent.details)).not.toThrow();
  });

  it('names the leader only where a caller can use it', () => {
    expect(failureOfStatus(grpcStatus(new HoldfastError('NOT_LEADER', ''), 'h:1'), '').leader).toBe('h:1');
    expect(failureOfStatus(grpcStatus(new HoldfastError('NOT_FOUND', ''), 'h:1'), '').leader).toBe('');
  });

  it('shows nothing of a throw that is no HoldfastError', () => {
    const error = callerError(new Error('value is hunter2'));
    expect(error.code).toBe('INTERNAL');
    expect(error.message).not.toContain('hunter2');
  });
});
