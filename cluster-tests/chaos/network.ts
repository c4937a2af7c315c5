import type { Toxiproxy } from 'toxiproxy-node-client';
import { freePort } from '../../test/freePort.ts';
import type { Cleanup } from './cleanup.ts';
import { command, succeeds } from './command.ts';

/** Where one node lives: what a cluster of any kind needs to know to start it there. */
export interface Place {
  readonly slot: number;
  readonly host: string;
  readonly apiPort: number;
  readonly peerPort: number;
  /** Where others reach its peer port, when a proxy stands in front of it. */
  readonly advertisePeer?: string;
  readonly wrapper: readonly string[];
}

/** From one slot to another; slot 0 is "from everywhere". */
export interface Link {
  readonly from: number;
  readonly to: number;
}

export type PacketFault =
  | { readonly kind: 'drop' }
  | { readonly kind: 'loss'; readonly probability: number }
  | { readonly kind: 'reset' };

/** Takes it away again, and tells how many packets it met; 1 where nothing counts them. */
export type Undo = () => Promise<number>;

/** The network between the nodes. */
export interface Network {
  readonly places: readonly Place[];
  /** Whether one link can be told from another with the same end, and packets can be touched. */
  readonly perLink: boolean;
  /** Adds a toxic to the proxies of these links. */
  poison(links: readonly Link[], toxic: ToxicBody): Promise<Undo>;
  /** Does this to the packets of these links. Only where `perLink`. */
  packets(links: readonly Link[], fault: PacketFault): Promise<Undo>;
}

export interface ToxicBody {
  readonly type: 'latency' | 'bandwidth' | 'timeout' | 'slicer' | 'limit_data' | 'reset_peer' | 'slow_close';
  readonly attributes: Readonly<Record<string, number>>;
  /** Both directions of the connections when absent. */
  readonly stream?: 'upstream' | 'downstream';
}

/** Adds and removes toxics by link. The names of toxics are never used twice. */
class Poisons {
  readonly #client: Toxiproxy;
  #count = 0;

  constructor(client: Toxiproxy) {
    this.#client = client;
  }

  async add(proxyNames: readonly string[], body: ToxicBody): Promise<Undo> {
    this.#count += 1;
    const removals: (() => Promise<void>)[] = [];
    for (const proxyName of new Set(proxyNames)) {
      const proxy = await this.#client.get(proxyName);
      for (const stream of body.stream === undefined
        ? (['upstream', 'downstream'] as const)
        : [body.stream]) {
        const name = `${body.type}-${this.#count}-${stream}`;
        const { type, attributes } = body;
        const toxic = await proxy.addToxic({ name, type, stream, toxicity: 1, attributes });
        removals.push(() => toxic.remove());
      }
    }
    return async () => {
      for (const remove of removals) await remove();
      return 1;
    };
  }
}

/** All nodes on loopback, one proxy in front of each: a fault is for everything that comes to a node. */
export async function loopbackNetwork(options: {
  readonly slots: number;
  readonly proxies: Toxiproxy;
  readonly cleanup: Cleanup;
}): Promise<Network> {
  const { slots, proxies, cleanup } = options;
  const places: Place[] = [];
  for (let slot = 1; slot <= slots; slot += 1) {
    const [apiPort, peerPort] = [await freePort(), await freePort()];
    const name = `to-${slot}-${process.pid}`;
    const upstream = `127.0.0.1:${peerPort}`;
    const proxy = await proxies.createProxy({ name, listen: `127.0.0.1:${await freePort()}`, upstream });
    cleanup.add(`proxy ${name}`, () => proxy.remove());
    places.push({ slot, host: '127.0.0.1', apiPort, peerPort, advertisePeer: proxy.listen, wrapper: [] });
  }
  const poisons = new Poisons(proxies);
  const proxyOf = ({ to }: Link) => `to-${to}-${process.pid}`;
  return {
    places,
    perLink: false,
    poison: (links, toxic) => poisons.add(links.map(proxyOf), toxic),
    packets: () => Promise.reject(new Error('packets can only be touched in network namespaces')),
  };
}

const API_PORT = 7440;
const PEER_PORT = 7441;

/**
 * A network namespace for each node, all on one bridge with this machine. What a node sends to another's peer port is
 * led to a proxy of that directed link, by address translation in the sender's namespace; so links can be told apart,
 * and packets be dropped between a node and its proxies.
 */
export async function namespaceNetwork(options: {
  readonly slots: number;
  readonly proxies: Toxiproxy;
  readonly cleanup: Cleanup;
}): Promise<Network> {
  const { slots, proxies, cleanup } = options;
  const tag = `hfc${process.pid}`;
  const subnet = `10.231.${process.pid % 250}`;
  const bridgeHost = `${subnet}.254`;
  const bridge = `${tag}b`;
  cleanup.add(bridge, () => succeeds('ip', ['link', 'del', bridge]));
  command('ip', ['link', 'add', bridge, 'type', 'bridge']);
  command('ip', ['addr', 'add', `${bridgeHost}/24`, 'dev', bridge]);
  command('ip', ['link', 'set', bridge, 'up']);
  const hostOf = (slot: number) => `${subnet}.${slot}`;
  const places: Place[] = [];
  for (let slot = 1; slot <= slots; slot += 1) {
    const namespace = `${tag}n${slot}`;
    addNamespace({ namespace, cable: `${tag}p${slot}`, bridge, host: hostOf(slot), cleanup });
    places.push({
      slot,
      host: hostOf(slot),
      apiPort: API_PORT,
      peerPort: PEER_PORT,
      wrapper: ['nsenter', `--net=/run/netns/${namespace}`],
    });
  }
  const iptables = (slot: number, ...args: string[]) =>
    command('nsenter', [`--net=/run/netns/${tag}n${slot}`, 'iptables', '-w', '5', ...args]);
  const linkPorts = new Map<string, number>();
  const nameOf = ({ from, to }: Link) => `${tag}-${from}-${to}`;
  for (let from = 1; from <= slots; from += 1) {
    for (let to = 1; to <= slots; to += 1) {
      if (from === to) continue;
      const name = nameOf({ from, to });
      const upstream = `${hostOf(to)}:${PEER_PORT}`;
      const proxy = await proxies.createProxy({
        name,
        listen: `${bridgeHost}:${20_000 + 100 * from + to}`,
        upstream,
      });
      cleanup.add(`proxy ${name}`, () => proxy.remove());
      linkPorts.set(name, Number(proxy.listen.split(':').at(-1)));
      const here = ['-p', 'tcp', '-d', hostOf(to), '--dport', String(PEER_PORT)];
      iptables(from, '-t', 'nat', '-A', 'OUTPUT', ...here, '-j', 'DNAT', '--to-destination', proxy.listen);
      // Does nothing but count, before the destination is changed and before anything is dropped.
      iptables(from, '-t', 'mangle', '-A', 'OUTPUT', ...here);
    }
  }
  const poisons = new Poisons(proxies);
  /** What the sender of each link has sent on it so far. */
  const sentOn = (links: readonly Link[]): readonly Sent[] => {
    const senders = new Map(
      [...new Set(links.map(({ from }) => from))].map((from) => [
        from,
        iptables(from, '-t', 'mangle', '-v', '-S', 'OUTPUT').split('\n'),
      ]),
    );
    return links.map(({ from, to }) =>
      countOf(senders.get(from)?.filter((line) => line.includes(` -d ${hostOf(to)}/32 `)) ?? []),
    );
  };
  let packetFaults = 0;
  return {
    places,
    perLink: true,
    poison: async (links, toxic) => {
      const before = sentOn(links);
      const undo = await poisons.add(links.map(nameOf), toxic);
      return async () => {
        await undo();
        const sent = sentOn(links).map(({ packets, bytes }, i) => ({
          packets: packets - (before[i]?.packets ?? 0),
          bytes: bytes - (before[i]?.bytes ?? 0),
        }));
        return sent.reduce((sum, one) => sum + metBy(one, toxic), 0);
      };
    },
    packets: (links, fault) => {
      packetFaults += 1;
      const mark = `fault-${packetFaults}`;
      const rules = links.flatMap((link) =>
        packetRules(
          link,
          String(linkPorts.get(nameOf(link))),
          fault,
          String(linkPorts.get(nameOf({ from: link.to, to: link.from }))),
        ),
      );
      const marked = (rule: readonly string[]) => [...rule, '-m', 'comment', '--comment', mark];
      for (const { slot, rule } of rules) iptables(slot, '-I', ...marked(rule));
      return Promise.resolve(() => {
        const counted = [...new Set(rules.map(({ slot }) => slot))].flatMap((slot) =>
          iptables(slot, '-v', '-S')
            .split('\n')
            .filter((line) => new RegExp(`--comment "?${mark}"? `).test(line)),
        );
        for (const { slot, rule } of rules) iptables(slot, '-D', ...marked(rule));
        return Promise.resolve(countOf(counted).packets);
      });
    },
  };
}

interface Sent {
  readonly packets: number;
  readonly bytes: number;
}

/** The sum of what these rules have counted, as `iptables -v -S` tells it. */
function countOf(lines: readonly string[]): Sent {
  let [packets, bytes] = [0, 0];
  for (const line of lines) {
    const match = / -c (\d+) (\d+)/.exec(line);
    packets += Number(match?.[1] ?? 0);
    bytes += Number(match?.[2] ?? 0);
  }
  return { packets, bytes };
}

/** Of IPv4 and TCP with timestamps. */
const HEADER_BYTES = 52;

/** How many of the packets that were sent meanwhile met this. */
function metBy({ packets, bytes }: Sent, { type, attributes }: ToxicBody): number {
  if (type !== 'limit_data') return packets;
  return bytes - packets * HEADER_BYTES > (attributes['bytes'] ?? 0) ? 1 : 0;
}

function addNamespace(options: {
  readonly namespace: string;
  readonly cable: string;
  readonly bridge: string;
  readonly host: string;
  readonly cleanup: Cleanup;
}): void {
  const { namespace, cable, bridge, host, cleanup } = options;
  cleanup.add(namespace, () => {
    succeeds('ip', ['netns', 'del', namespace]);
    succeeds('ip', ['link', 'del', cable]);
  });
  command('ip', ['netns', 'add', namespace]);
  command('ip', ['link', 'add', 'e0', 'netns', namespace, 'type', 'veth', 'peer', 'name', cable]);
  command('ip', ['link', 'set', cable, 'master', bridge, 'up']);
  command('ip', ['-n', namespace, 'addr', 'add', `${host}/24`, 'dev', 'e0']);
  command('ip', ['-n', namespace, 'link', 'set', 'e0', 'up']);
  command('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
}

/**
 * What the sender's packets of this link meet: those on the connections that it dialled, on their way out, and those
 * on the connections that the other end dialled, on their way in there.
 */
function packetRules(
  { from, to }: Link,
  dialledPort: string,
  fault: PacketFault,
  dialledBackPort: string,
): readonly { readonly slot: number; readonly rule: readonly string[] }[] {
  const out = ['OUTPUT', '-p', 'tcp', '--dport', dialledPort];
  const into = ['INPUT', '-p', 'tcp', '--sport', dialledBackPort];
  if (fault.kind === 'reset') {
    const reset = ['-j', 'REJECT', '--reject-with', 'tcp-reset'];
    return [
      { slot: from, rule: [...out, ...reset] },
      { slot: to, rule: [...into, ...reset] },
    ];
  }
  const chance =
    fault.kind === 'loss'
      ? ['-m', 'statistic', '--mode', 'random', '--probability', fault.probability.toFixed(3)]
      : [];
  return [
    { slot: from, rule: [...out, ...chance, '-j', 'DROP'] },
    { slot: to, rule: [...into, ...chance, '-j', 'DROP'] },
  ];
}

/** What an earlier run left behind that was killed before it could clean up. */
export function sweepNetwork(): void {
  const isDead = (pid: string) => !succeeds('kill', ['-0', pid]);
  const words = (text: string) => text.split(/\s+/);
  const names = [...words(command('ip', ['netns', 'list'])), ...words(command('ip', ['-o', 'link', 'show']))];
  for (const name of names) {
    const match = /^(hfc(\d+)(n\d+|b|p\d+))(?:[:@]|$)/.exec(name);
    if (match === null || !isDead(match[2] ?? '')) continue;
    if (match[3]?.startsWith('n')) succeeds('ip', ['netns', 'del', match[1] ?? '']);
    else succeeds('ip', ['link', 'del', match[1] ?? '']);
  }
}
