/** The image's health check: whether this container's node accepts connections on its API port. */
import { connect } from 'node:net';

const WAIT_MS = 2000;
const port = Number((process.env.HOLDFAST_LISTEN_API ?? ':7440').split(':').at(-1));
const socket = connect({ host: '127.0.0.1', port, timeout: WAIT_MS });

const endWith = (code) => {
  socket.destroy();
  process.exitCode = code;
};
socket.once('connect', () => endWith(0));
socket.once('error', () => endWith(1));
socket.once('timeout', () => endWith(1));
