import { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { peerFrameCodec } from '../../src/proto/peer.ts';
import type { Message } from '../../src/replication/raft/types.ts';
import type { StateSnapshot } from '../../src/replication/replicatedLog.ts';
import { decodeMessage, encodeMessage } from '../../src/replication/transport/messageCodec.ts';
import type { PeerReceiver, PeerTransport } from '../../src/replication/transport/types.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/** Frames that may come again much later. */
const REMEMBERED_FRAMES = 64;

const PULL_DEADLINE_MS = 2_000;

interface Frame {
  readonly from: Machine;
  readonly to: NodeId;
  readonly bytes: Buffer;
}

/** What lies between the machines. Every message goes through the real codecs as bytes. */
export class Network {
  readonly #world: World;
  /** Directed links that carry nothing: `from>to`. */
  readonly #cut = new Set<string>();
  readonly #remembered: Frame[] = [];
  onSend: (from: Machine, message: Message) => void = () => undefined;
  onDeliver: (to: Machine, message: Message) => void = () => undefined;
  onDelivered: (to: Machine, messages: readonly Message[]) => void = () => undefined;

  constructor(world: World) {
    this.#world = world;
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  mend(link?: { readonly from: NodeId; readonly to: NodeId }): void {
    if (link === undefined) this.#cut.clear();
    else this.#cut.delete(`${link.from}>${link.to}`);
  }

  get cutLinks(): number {
    return this.#cut.size;
  }

  send(from: Machine, messages: readonly Message[]): void {
    const byReceiver = new Map<NodeId, Message[]>();
    for (const message of messages) {
      this.onSend(from, message);
      const waiting = byReceiver.get(message.to);
      if (waiting === undefined) byReceiver.set(message.to, [message]);
      else waiting.push(message);
    }
    for (const [to, together] of byReceiver) {
      const frame = { messages: together.map(encodeMessage), wallMs: 0, forwards: [], address: '' };
      this.#dispatch({ from, to, bytes: peerFrameCodec.encode(frame) });
    }
  }

  #dispatch(frame: Frame): void {
    const { chances, knobs, faulty } = this.#world;
    const { network } = chances;
    const has = (fault: Parameters<typeof knobs.faults.has>[0]): boolean => faulty && knobs.faults.has(fault);
    if (this.isCut(frame.from.nodeId, frame.to)) return;
    if (has('loss') && network.happens(knobs.lossProbability)) return;
    this.#deliverLater(frame, this.#delayMs());
    if (has('duplication') && network.happens(0.05)) this.#deliverLater(frame, this.#delayMs() * 3);
    if (!has('replay')) return;
    if (network.happens(0.1)) {
      if (this.#remembered.length < REMEMBERED_FRAMES) this.#remembered.push(frame);
      else this.#remembered[network.integer(0, REMEMBERED_FRAMES - 1)] = frame;
    }
    const old = network.happens(0.03) ? network.pick(this.#remembered) : undefined;
    if (old !== undefined && !this.isCut(old.from.nodeId, old.to)) this.#deliverLater(old, this.#delayMs());
  }

  #delayMs(): number {
    const { chances, knobs, faulty } = this.#world;
    const { network } = chances;
    const base = knobs.networkDelayMs * network.between(0.5, 1);
    if (!faulty || !knobs.faults.has('reordering')) return base;
    return network.happens(0.1)
      ? base + network.wait(knobs.networkDelayMs * 10)
      : base * network.between(1, 3);
  }

  #deliverLater(frame: Frame, delayMs: number): void {
    const to = this.#world.machines.get(frame.to);
    if (to === undefined) return;
    this.#world.planForAnyLife(to, { delayMs, kind: 'network', run: () => this.#deliver(frame, to) });
  }

  #deliver({ from, to: toId, bytes }: Frame, to: Machine): void {
    if (this.isCut(from.nodeId, toId) || !to.mayHear(from.nodeId)) return;
    const route = { from: from.nodeId, to: toId };
    const messages = peerFrameCodec.decode(bytes).messages.map((wire) => decodeMessage(wire, route));
    for (const message of messages) this.onDeliver(to, message);
    to.receive(messages);
    this.onDelivered(to, messages);
  }
}

/** One machine's end of the network, for one of its lives. */
export class NetworkTransport implements PeerTransport {
  readonly #network: Network;
  readonly #machine: Machine;
  readonly #world: World;
  readonly #life: number;
  #peers: ReadonlySet<NodeId> = new Set();
  receiver: PeerReceiver | null = null;

  constructor(options: { readonly network: Network; readonly machine: Machine; readonly world: World }) {
    this.#network = options.network;
    this.#machine = options.machine;
    this.#world = options.world;
    this.#life = options.machine.life;
  }

  start(receiver: PeerReceiver): void {
    this.receiver = receiver;
  }

  setPeers(nodeIds: readonly NodeId[]): void {
    this.#peers = new Set(nodeIds);
  }

  send(messages: readonly Message[]): void {
    this.#network.send(
      this.#machine,
      messages.filter(({ to }) => this.#peers.has(to)),
    );
  }

  forward(): boolean {
    return false;
  }

  refuseForward(): void {}

  async pullSnapshot({ from }: { readonly from: NodeId }): Promise<StateSnapshot> {
    await this.#trip(from);
    const source = this.#world.machines.get(from)?.receiver;
    if (source === null || source === undefined) throw unreachableSource();
    const life = this.#world.machines.get(from)?.life;
    const snapshot = await this.#inTime(source.openSnapshot());
    const inTime = this.#inTime.bind(this);
    const trip = (): Promise<void> => this.#trip(from, life);
    return {
      metadata: snapshot.metadata,
      keyring: snapshot.keyring,
      async *rows() {
        const portions = snapshot.rows()[Symbol.asyncIterator]();
        for (;;) {
          const portion = await inTime(portions.next());
          if (portion.done === true) return;
          await trip();
          yield portion.value;
        }
      },
      close: () => snapshot.close(),
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** A source that is gone never answers; a pull has a deadline for that. */
  #inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      // What another machine brings about must not wake a life that has ended here.
      const ifAlive =
        <V>(settle: (value: V) => void) =>
        (value: V): void => {
          if (this.#machine.life === this.#life) settle(value);
        };
      answer.then(ifAlive(resolve), ifAlive(reject));
      const run = (): void => reject(unreachableSource());
      this.#world.planFor(this.#machine, { delayMs: PULL_DEADLINE_MS, kind: 'timer', run });
    });
  }

  /** A request to another machine and its answer; a life of it that has ended does not answer. */
  #trip(to: NodeId, life?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { network } = this.#world.chances;
      const delayMs = this.#world.knobs.networkDelayMs * network.between(1, 3);
      const lost = this.#world.faulty && network.happens(0.03);
      this.#world.planFor(this.#machine, {
        delayMs,
        kind: 'network',
        run: () => {
          const target = this.#world.machines.get(to);
          const own = this.#machine.nodeId;
          const cut = this.#network.isCut(own, to) || this.#network.isCut(to, own);
          const gone = target === undefined || target.receiver === null || target.paused;
          if (lost || cut || gone || (life !== undefined && target.life !== life))
            reject(unreachableSource());
          else resolve();
        },
      });
    });
  }
}

function unreachableSource(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the source of the snapshot does not answer');
}
