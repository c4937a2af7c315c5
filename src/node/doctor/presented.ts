import tls from 'node:tls';
import { systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';

export interface Dialled {
  readonly host: string;
  readonly port: number;
  /** PEM: the only root that counts. */
  readonly ca: string | Buffer;
}

/** A certificate that the authority has signed and that is valid now, or why there is none. */
export type Presented =
  | {
      /** DER. */
      readonly certificate: Buffer;
      /** Its alternative names, as `URI:…`, `DNS:…`. */
      readonly names: readonly string[];
    }
  /** Of OpenSSL, as CERT_HAS_EXPIRED, or of the system, as ECONNREFUSED. */
  | { readonly problem: string };

/** What the server at an address shows in the TLS handshake. Nothing is sent. */
export function presentedCertificate({ host, port, ca }: Dialled): Promise<Presented> {
  return new Promise((resolve) => {
    // Every node certificate names localhost, whatever the address is; who it is stands in its URI.
    const socket = tls.connect({ host, port, ca, servername: 'localhost', ALPNProtocols: ['h2'] });
    const end = (presented: Presented): void => {
      socket.destroy();
      resolve(presented);
    };
    socket.setTimeout(LIMITS.peerConnectTimeoutMs, () => end({ problem: 'ETIMEDOUT' }));
    socket.on('error', (error) => end({ problem: systemErrorCode(error) ?? error.message }));
    socket.once('close', () => end({ problem: 'ECONNRESET' }));
    socket.once('secureConnect', () => {
      const { raw, subjectaltname = '' } = socket.getPeerCertificate();
      end({ certificate: raw, names: subjectaltname.split(', ') });
    });
  });
}
