import { type Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { assert, present } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import {
  type PeerStatement,
  type ProofStep,
  peerService,
  peerStatementCodec,
  proofStepCodec,
} from '../proto/peer.ts';
import type { MethodDefinition } from '../proto/registry.ts';
import type { NodeProcesses } from './nodeProcesses.ts';
import { checkPeerStatement, controlKeyToProve, type PeerTerms } from './peerTerms.ts';
import type { NodeProcess } from './processesOfNode.ts';
import { answererProof, type Conversation, callerProof, isProof, PROOF_NONCE_BYTES } from './proof.ts';
import { fromRefusalStatus, isServiceError, toRefusalStatus } from './refusalStatus.ts';
import { StepReader, type StepSource } from './stepReader.ts';

/** A TLS connection of two nodes that have shown certificates of the cluster. */
export interface PeerConnection {
  readonly peerId: NodeId;
  /** DER, as this node has shown it on the connection. */
  readonly ownCertificate: Uint8Array;
  /** DER, as the other has. */
  readonly peerCertificate: Uint8Array;
}

export interface PeerProofOptions {
  /** What this node says of itself now. */
  readonly terms: () => PeerTerms;
  readonly controlKeys: () => readonly ControlKey[];
  /** Which process of each node has the word. */
  readonly processes: NodeProcesses;
  /** That node has proved itself, to be who it says with what members hold. */
  readonly onProved: (peerId: NodeId) => void;
  /** It has not, or this node not to it; never for what a broken connection is the reason of. */
  readonly onRefused: (peerId: NodeId, error: HoldfastError) => void;
  readonly clock: Clock;
  readonly random: RandomSource;
}

/** One call of Prove, as its server sees it; steps are bytes until their length is known. */
export interface ProveCall extends StepSource<Buffer> {
  write(step: ProofStep): unknown;
  end(): unknown;
  emit(event: 'error', error: object): unknown;
}

/** The answering side of one connection. */
export interface PeerGate {
  /** The caller has proved itself: it may say more. */
  readonly isOpen: boolean;
  /** The method Prove. Resolves, and never rejects, with why the caller has not proved itself, or null. */
  readonly answer: (call: ProveCall) => Promise<HoldfastError | null>;
  /** Something that the caller said was taken. */
  readonly spoke: () => void;
  /** The connection has ended, closed by this node or by the other one. */
  readonly closed: (from: 'here' | 'there') => void;
}

const NOTHING = new Uint8Array(0);
const raw = (bytes: Buffer): Buffer => bytes;

/**
 * The proof that members give each other on every connection, before anything else is said on it: caller first, answerer
 * second, bound to the certificates that both have shown in the TLS handshake below.
 */
export class PeerProof {
  readonly #options: PeerProofOptions;

  constructor(options: PeerProofOptions) {
    this.#options = options;
  }

  /**
   * Calls Prove on the one connection of `client`. `connection` is asked once that stands.
   * @returns whether the process that has answered is heard still
   * @throws HoldfastError as controlKeyToProve, as the other side says, UNAVAILABLE, DEADLINE_EXCEEDED
   */
  async prove(
    client: Client,
    { peerId, connection }: { peerId: NodeId; connection: () => PeerConnection },
  ): Promise<() => boolean> {
    const method = present(peerService['prove'], 'method Peer.Prove') as MethodDefinition<
      ProofStep,
      ProofStep
    >;
    const stream: ClientDuplexStream<ProofStep, Buffer> = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      raw,
      new Metadata(),
      { deadline: this.#options.clock.wallMs() + LIMITS.peerConnectTimeoutMs },
    );
    try {
      const run = await this.#call(stream, connection);
      this.#options.onProved(peerId);
      return () => this.#options.processes.isHeard(peerId, run);
    } catch (thrown) {
      const error = isServiceError(thrown)
        ? fromRefusalStatus(thrown, `node ${peerId} says`).error
        : toHoldfastError(thrown);
      this.#note(peerId, error);
      throw error;
    } finally {
      stream.cancel();
    }
  }

  gateFor(connection: PeerConnection): PeerGate {
    const { processes } = this.#options;
    const { peerId } = connection;
    let proved: NodeProcess | null = null;
    let isOver = false;
    const close = (from: 'here' | 'there'): void => {
      if (proved !== null) processes.closed(peerId, proved, from);
      proved = null;
    };
    const open = (run: NodeProcess): void => {
      close('here');
      if (isOver) return;
      proved = run;
      processes.opened(peerId, run);
    };
    return {
      // A later run of the node takes the word from this one.
      get isOpen() {
        return proved !== null && processes.isHeard(peerId, proved);
      },
      answer: (call) => this.#answer(call, connection, open),
      spoke: () => {
        if (proved !== null) processes.spoke(peerId, proved);
      },
      closed: (from) => {
        isOver = true;
        close(from);
      },
    };
  }

  async #call(
    stream: ClientDuplexStream<ProofStep, Buffer>,
    connectionOf: () => PeerConnection,
  ): Promise<NodeProcess> {
    const reader = new StepReader<Buffer>(stream);
    const { own, said } = this.#statement();
    stream.write({ statement: said, proof: NOTHING });
    const { statement } = readStep(await reader.next(LIMITS.peerConnectTimeoutMs));
    const { peerId, ownCertificate, peerCertificate } = connectionOf();
    const { key, their } = this.#keyFor({ own, statement, peerId });
    const conversation: Conversation = {
      purpose: 'peer',
      callerSaid: said,
      answererSaid: statement,
      caller: ownCertificate,
      answerer: peerCertificate,
    };
    const proof = callerProof(key, conversation);
    stream.write({ statement: NOTHING, proof });
    stream.end();
    const answer = readStep(await reader.next(LIMITS.peerConnectTimeoutMs));
    const expected = answererProof(key, conversation, { proof, response: null });
    if (!isProof(expected, answer.proof)) throw notProved(key);
    this.#options.processes.admit(peerId, their);
    return their;
  }

  async #answer(
    call: ProveCall,
    connection: PeerConnection,
    open: (run: NodeProcess) => void,
  ): Promise<HoldfastError | null> {
    call.on('error', () => undefined);
    const { peerId, ownCertificate, peerCertificate } = connection;
    try {
      const reader = new StepReader<Buffer>(call);
      const { statement } = readStep(await reader.next(LIMITS.peerHandshakeTimeoutMs));
      const { own, said } = this.#statement();
      const { key, their } = this.#keyFor({ own, statement, peerId });
      call.write({ statement: said, proof: NOTHING });
      const { proof } = readStep(await reader.next(LIMITS.peerHandshakeTimeoutMs));
      const conversation: Conversation = {
        purpose: 'peer',
        callerSaid: statement,
        answererSaid: said,
        caller: peerCertificate,
        answerer: ownCertificate,
      };
      if (!isProof(callerProof(key, conversation), proof)) throw notProved(key);
      this.#options.processes.admit(peerId, their);
      open(their);
      call.write({ statement: NOTHING, proof: answererProof(key, conversation, { proof, response: null }) });
      call.end();
      this.#options.onProved(peerId);
      return null;
    } catch (thrown) {
      const error = toHoldfastError(thrown);
      this.#note(peerId, error);
      call.emit('error', toRefusalStatus(error, null));
      return error;
    }
  }

  #statement(): { readonly own: PeerTerms; readonly said: Buffer } {
    const own = this.#options.terms();
    const said = peerStatementCodec.encode({ ...own, nonce: this.#options.random.bytes(PROOF_NONCE_BYTES) });
    return { own, said };
  }

  #keyFor({ own, statement, peerId }: { own: PeerTerms; statement: Uint8Array; peerId: NodeId }): {
    readonly key: ControlKey;
    readonly their: PeerStatement;
  } {
    // Of somebody who has proved nothing: many empty strings would take seconds to decode.
    requireWithin(statement, { field: 'statement', bytesMax: LIMITS.peerStatementBytesMax });
    const their: PeerStatement = peerStatementCodec.decode(asBuffer(statement));
    checkPeerStatement(their, peerId);
    const fingerprint = controlKeyToProve(own, their);
    const key = this.#options.controlKeys().find((held) => held.fingerprint === fingerprint);
    assert(key !== undefined, 'a statement names the control keys that the node holds');
    return { key, their };
  }

  #note(peerId: NodeId, error: HoldfastError): void {
    if (!FENCING.has(error.code)) return;
    this.#options.onRefused(peerId, error);
  }
}

/** What says something of the other node, and not of the way to it. */
const FENCING: ReadonlySet<string> = new Set([
  'CONTROL_KEY_MISMATCH',
  'ENCRYPTION_MISMATCH',
  'JWT_SECRET_MISMATCH',
  'CLUSTER_MISMATCH',
  'VERSION_UNSUPPORTED',
  'NODE_ID_REUSED',
]);

/** @throws HoldfastError TOO_LARGE, INVALID_ARGUMENT */
function readStep(bytes: Buffer): ProofStep {
  requireWithin(bytes, { field: 'step', bytesMax: LIMITS.proofStepBytesMax });
  return proofStepCodec.decode(bytes);
}

/** @throws HoldfastError TOO_LARGE */
function requireWithin(bytes: Uint8Array, { field, bytesMax }: { field: string; bytesMax: number }): void {
  if (bytes.length <= bytesMax) return;
  throw new HoldfastError('TOO_LARGE', `${field} has ${bytes.length} bytes, and ${bytesMax} are the most`, {
    field,
    hint: 'Run the same release of holdfast on all nodes.',
  });
}

function notProved({ fingerprint }: ControlKey): HoldfastError {
  return new HoldfastError(
    'CONTROL_KEY_MISMATCH',
    `the other node names control key ${fingerprint}, and did not prove that it holds it`,
    {
      field: 'control_key',
      hint: 'Something between may have changed what was said; look at what lies between the nodes.',
    },
  );
}
