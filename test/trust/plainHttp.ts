import { connect } from 'node:net';

/** What a local port says to a request in plain HTTP/1.1, up to the end of the connection; an alert of TLS at most. */
export async function answerToPlainHttp(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const answer: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => answer.push(bytes));
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(answer).toString('latin1');
}
