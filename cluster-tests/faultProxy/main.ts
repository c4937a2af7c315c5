import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { ProxyApi } from './api.ts';

/**
 * A TCP proxy that does harm on request: holdfast's own, not Shopify's Toxiproxy, whose HTTP API it speaks.
 * `npx tsx cluster-tests/faultProxy/main.ts [--host HOST] [--port PORT]` prints the API's URL on a line of its own,
 * and ends with SIGTERM, SIGINT, or (--with-stdin) the end of its standard input.
 */
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '8474' },
    'with-stdin': { type: 'boolean', default: false },
  },
});

const api = new ProxyApi();
const server = api.server();
server.listen(Number(values.port), values.host);
await once(server, 'listening');
const address = server.address();
if (address === null || typeof address === 'string') throw new Error('no port');
process.stdout.write(`http://${values.host}:${address.port}\n`);

const stop = () => process.exit(0);
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
// Whoever started it is gone when its pipe is.
if (values['with-stdin']) process.stdin.on('end', stop).resume();
