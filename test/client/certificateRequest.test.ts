import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { certificateRequest } from '../../src/client/certificateRequest.ts';
import { verifyCertificateRequest } from '../../src/trust/certificateRequest.ts';

const pemOfKey = (namedCurve: string): string =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

describe('a client asks for a new certificate', () => {
  it('with a request that the cluster reads, for its own key and signed by it', async () => {
    // The length of a signature differs by up to some bytes, and with it the lengths around it.
    for (let round = 0; round < 30; round += 1) {
      const privateKey = pemOfKey('P-256');
      const { publicKey } = await verifyCertificateRequest(certificateRequest(privateKey));
      expect(publicKey.equals(createPublicKey(privateKey))).toBe(true);
    }
  });

  it('and the cluster finds out when any byte of it was changed', async () => {
    const request = certificateRequest(pemOfKey('P-256'));
    for (const at of [10, 30, 100, request.length - 5]) {
      const changed = Buffer.from(request);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      await expect(verifyCertificateRequest(changed)).rejects.toMatchObject({ field: 'csr' });
    }
  });

  it('only with a key that the cluster certifies', () => {
    for (const privateKey of ['no key', pemOfKey('P-384')]) {
      expect(() => certificateRequest(privateKey)).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID', field: 'privateKey' }),
      );
    }
  });
});
