import { connect, type TLSSocket } from 'node:tls';
import type { PeerCredentials } from '../../../src/replication/transport/types.ts';

/** A connection that is opened by a certificate and closed by nobody but the other side: it takes no goodbye. */
export async function stubbornSocket(
  port: number,
  { certificate, privateKey, authorityCertificate }: PeerCredentials,
): Promise<TLSSocket> {
  // The types of Node.js leave `allowHalfOpen` out.
  const options = {
    port,
    host: '127.0.0.1',
    ca: authorityCertificate,
    cert: certificate,
    key: privateKey,
    ALPNProtocols: ['h2'],
    allowHalfOpen: true,
    checkServerIdentity: () => undefined,
  };
  const socket = connect(options);
  socket.on('error', () => undefined);
  socket.resume();
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return socket;
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const [HEADERS, SETTINGS] = [1, 4];
const END_HEADERS = 4;

/** The head of a gRPC call, of which nothing more comes (RFC 9113). */
export function beginCall(socket: TLSSocket, path: string): void {
  const fields = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'peer'],
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
  ];
  const block = Buffer.concat(fields.flatMap(([name = '', value = '']) => literal(name, value)));
  socket.write(PREFACE);
  socket.write(frame({ type: SETTINGS, flags: 0, stream: 0 }, Buffer.alloc(0)));
  socket.write(frame({ type: HEADERS, flags: END_HEADERS, stream: 1 }, block));
}

/** A header field that is neither indexed nor compressed (RFC 7541). */
function literal(name: string, value: string): readonly Buffer[] {
  const text = (of: string): Buffer => Buffer.concat([Buffer.from([of.length]), Buffer.from(of)]);
  return [Buffer.from([0]), text(name), text(value)];
}

function frame(of: { type: number; flags: number; stream: number }, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(of.type, 3);
  head.writeUInt8(of.flags, 4);
  head.writeUInt32BE(of.stream, 5);
  return Buffer.concat([head, payload]);
}
