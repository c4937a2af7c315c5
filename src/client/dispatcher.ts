/**
 * Takes every request from its call to its answer: numbers writes, picks nodes, retries until the deadline.
 *
 * One sweep every 20 ms serves all deadlines, attempts and pauses, so that a request costs no timer.
 */

import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { StatusResponse } from '../proto/cluster.ts';
import { Connection, type Security } from './connection.ts';
import { type AttemptFailure, isTransient, leavesOutcomeOpen, unreachableNode } from './failure.ts';
import { Outgoing, type Service } from './outgoing.ts';
import type { Route } from './route.ts';
import type { AttemptEvents } from './sessionStream.ts';
import { WriteNumbers } from './writeNumbers.ts';

const SWEEP_INTERVAL_MS = 20;
const PAUSE_MS_MIN = 10;
const PAUSE_MS_MAX = 1_000;
/** A node that says nothing for this long may be gone; the request is tried elsewhere, each time with more patience. */
const ATTEMPT_MS_MIN = 2_000;
const LEADER_SEARCH_INTERVAL_MS = 500;

/** These are decided by the request alone: an earlier attempt cannot have had another outcome. */
const DECIDED_BY_REQUEST = new Set(['INVALID_ARGUMENT', 'TOO_LARGE', 'REQUEST_MISMATCH']);

export interface RequestOptions {
  readonly service?: Service;
  readonly method: string;
  readonly inSession?: boolean;
  readonly repeat: 'read' | 'write' | 'once';
  readonly body: object;
  readonly bytes?: number;
  readonly to?: string;
  readonly timeoutMs?: number | undefined;
}

export class Dispatcher {
  readonly #security: Security;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  readonly #defaultTimeoutMs: number;
  readonly #connections = new Map<string, Connection>();
  readonly #live = new Set<Outgoing>();
  readonly #writes: WriteNumbers;
  readonly #events: AttemptEvents;
  readonly route: Route;
  #sweepTimer: NodeJS.Timeout | null = null;
  #attemptIds = 0;
  #leaderSearchedMs = Number.NEGATIVE_INFINITY;
  #closed = false;
  /** Of any request: what a write that never got its number is told. */
  #lastFailure: HoldfastError | null = null;

  constructor(options: {
    readonly security: Security;
    readonly route: Route;
    readonly clock: Clock;
    readonly random: RandomSource;
    readonly defaultTimeoutMs: number;
  }) {
    this.#security = options.security;
    this.route = options.route;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#defaultTimeoutMs = options.defaultTimeoutMs;
    this.#events = {
      succeeded: (outgoing, response) => this.#succeeded(outgoing, response),
      failed: (outgoing, failure) => this.#failed(outgoing, failure),
      sessionUnsupported: () => undefined,
    };
    this.#writes = new WriteNumbers({
      register: async () => {
        const request = { method: 'registerClient', inSession: true, repeat: 'read', body: {} } as const;
        const response = await this.request<{ readonly clientId: number }>(request);
        return response.clientId;
      },
      ready: (outgoing) => this.#attempt(outgoing),
      refused: (outgoing, error) => this.#settleError(outgoing, error),
    });
  }

  get clientId(): number | null {
    return this.#writes.clientId;
  }

  /** @throws HoldfastError every failure, at the latest about 20 ms after the deadline */
  request<Response extends object>(options: RequestOptions): Promise<Response> {
    return new Promise<object>((resolve, reject) => {
      const timeoutMs = Math.min(options.timeoutMs ?? this.#defaultTimeoutMs, LIMITS.requestTimeoutMsMax);
      const outgoing = new Outgoing({
        service: options.service ?? 'holdfast.v1.Kv',
        method: options.method,
        inSession: options.inSession ?? false,
        repeat: options.repeat,
        body: options.body,
        bytes: options.bytes ?? 0,
        to: options.to ?? 'leader',
        timeoutMs,
        deadlineMs: this.#clock.monotonicMs() + timeoutMs,
        resolve,
        reject,
      });
      const refusal = this.#refusal(outgoing);
      if (refusal === null) this.#begin(outgoing);
      else reject(refusal);
    }) as Promise<Response>;
  }

  /** The connection to an address, made when there is none. */
  connection(address: string): Connection {
    const known = this.#connections.get(address);
    if (known !== undefined) return known;
    const connection = new Connection({
      address,
      security: this.#security,
      events: this.#events,
      clock: this.#clock,
    });
    this.#connections.set(address, connection);
    return connection;
  }

  /** A jittered pause that grows with the attempts, in milliseconds. */
  pauseMs(attempts: number): number {
    const upToMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(attempts, 10));
    return this.#random.integer({ min: Math.ceil(upToMs / 2), max: upToMs + 1 });
  }

  close(): void {
    this.#closed = true;
    const closed = new HoldfastError('CANCELLED', 'the client was closed');
    for (const outgoing of this.#live) this.#settleError(outgoing, this.#finalError(outgoing, closed));
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
    this.#stopSweep();
  }

  #refusal(outgoing: Outgoing): HoldfastError | null {
    if (this.#closed) return new HoldfastError('CANCELLED', 'the client is closed');
    if (outgoing.bytes > LIMITS.requestBytesMax) {
      return new HoldfastError('TOO_LARGE', `the request is over ${LIMITS.requestBytesMax} bytes`, {
        hint: 'split it',
      });
    }
    // The writes that wait for a client id are what fills the queue: their registration must get past it.
    if (this.#live.size < LIMITS.waitingCommandsMax || outgoing.method === 'registerClient') return null;
    return new HoldfastError('OVERLOADED', `over ${LIMITS.waitingCommandsMax} requests wait in this client`, {
      hint: 'await some of them before sending more',
    });
  }

  #begin(outgoing: Outgoing): void {
    this.#live.add(outgoing);
    if (this.#sweepTimer === null) {
      this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    }
    if (outgoing.repeat === 'write') this.#writes.admit(outgoing);
    else this.#attempt(outgoing);
  }

  #attempt(outgoing: Outgoing): void {
    if (outgoing.state === 'done') return;
    this.#attemptIds += 1;
    outgoing.attemptId = this.#attemptIds;
    outgoing.state = 'attempt';
    outgoing.sent = false;
    const patienceMs =
      outgoing.repeat === 'once' ? outgoing.timeoutMs : ATTEMPT_MS_MIN * 2 ** Math.min(outgoing.attempts, 8);
    outgoing.attemptDeadlineMs = this.#clock.monotonicMs() + patienceMs;
    outgoing.address = this.route.pick(outgoing.to);
    if (outgoing.to === 'leader' && this.route.leader === null) this.#searchLeader();
    this.connection(outgoing.address).send(outgoing);
  }

  #succeeded(outgoing: Outgoing, response: object): void {
    if (outgoing.state === 'done') return;
    this.route.noteSuccess(outgoing.address);
    this.#settle(outgoing);
    outgoing.resolve(response);
  }

  #failed(outgoing: Outgoing, failure: AttemptFailure): void {
    if (outgoing.state !== 'attempt') return;
    const { error } = failure;
    const openBefore = outgoing.mayHaveApplied;
    if (failure.answered ? leavesOutcomeOpen(error) : outgoing.sent) outgoing.mayHaveApplied = true;
    outgoing.lastFailure = error;
    this.#lastFailure = error;
    this.route.noteFailure(outgoing.address, failure);
    if (error.code === 'REQUEST_FORGOTTEN' && outgoing.registration !== null) {
      this.#onForgotten(outgoing, openBefore);
    } else if (!isTransient(error)) {
      const final = openBefore && !DECIDED_BY_REQUEST.has(error.code);
      this.#settleError(outgoing, final ? this.#finalError(outgoing, error) : error);
    } else if (outgoing.repeat === 'once' && outgoing.mayHaveApplied) {
      this.#settleError(outgoing, this.#finalError(outgoing, error));
    } else {
      this.#pauseOrRetry(outgoing, failure);
    }
  }

  /** The store no longer knows the client id: never applied, unless an earlier attempt was. */
  #onForgotten(outgoing: Outgoing, openBefore: boolean): void {
    this.#writes.forget(present(outgoing.registration, 'registration'));
    if (openBefore) {
      const forgotten = present(outgoing.lastFailure, 'failure');
      this.#settleError(outgoing, this.#finalError(outgoing, forgotten));
      return;
    }
    outgoing.registration = null;
    outgoing.state = 'new';
    this.#writes.admit(outgoing);
  }

  #pauseOrRetry(outgoing: Outgoing, failure: AttemptFailure): void {
    const redirected = failure.error.code === 'NOT_LEADER' && failure.leader !== '' && outgoing.attempts < 3;
    outgoing.attempts += 1;
    outgoing.state = 'waiting';
    const pauseMs = redirected ? 0 : this.pauseMs(outgoing.attempts);
    outgoing.notBeforeMs = this.#clock.monotonicMs() + pauseMs;
    if (pauseMs === 0) this.#attempt(outgoing);
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const outgoing of this.#live) {
      if (nowMs >= outgoing.deadlineMs) this.#expire(outgoing);
      else if (outgoing.state === 'waiting' && nowMs >= outgoing.notBeforeMs) this.#attempt(outgoing);
      else if (outgoing.state === 'attempt' && nowMs >= outgoing.attemptDeadlineMs)
        this.#loseAttempt(outgoing);
    }
    if (this.#live.size === 0) this.#stopSweep();
  }

  #loseAttempt(outgoing: Outgoing): void {
    this.#connections.get(outgoing.address)?.abandon(outgoing);
    this.#failed(outgoing, unreachableNode(outgoing.address, 'no answer'));
  }

  #expire(outgoing: Outgoing): void {
    this.#connections.get(outgoing.address)?.abandon(outgoing);
    if (outgoing.state === 'attempt' && outgoing.sent) outgoing.mayHaveApplied = true;
    const last = outgoing.lastFailure ?? (outgoing.state === 'new' ? this.#lastFailure : null);
    const error =
      last === null
        ? new HoldfastError('DEADLINE_EXCEEDED', `no answer within ${outgoing.timeoutMs} ms`)
        : new HoldfastError(
            last.code,
            `not done within ${outgoing.timeoutMs} ms: ${last.message}`,
            detailsOf(last),
          );
    this.#settleError(outgoing, this.#finalError(outgoing, error));
  }

  /** `error`, unless that would say of a change that may have happened that it did not. */
  #finalError(outgoing: Outgoing, error: HoldfastError): HoldfastError {
    const sentNow = outgoing.state === 'attempt' && outgoing.sent;
    if (outgoing.repeat === 'read' || !(outgoing.mayHaveApplied || sentNow)) return error;
    const message = `the change may or may not have happened (${error.code}: ${error.message})`;
    return new HoldfastError('OUTCOME_UNKNOWN', message, {
      hint: 'read the keys concerned before doing it again',
      cause: error,
    });
  }

  #settleError(outgoing: Outgoing, error: HoldfastError): void {
    if (outgoing.state === 'done') return;
    this.#settle(outgoing);
    outgoing.reject(error);
  }

  #settle(outgoing: Outgoing): void {
    outgoing.state = 'done';
    this.#live.delete(outgoing);
    if (outgoing.registration !== null) this.#writes.settled(outgoing);
  }

  #stopSweep(): void {
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    this.#sweepTimer = null;
  }

  #searchLeader(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#closed || nowMs - this.#leaderSearchedMs < LEADER_SEARCH_INTERVAL_MS) return;
    this.#leaderSearchedMs = nowMs;
    const request = {
      service: 'holdfast.v1.Cluster',
      method: 'status',
      repeat: 'read',
      body: {},
      to: 'any',
    } as const;
    this.request<StatusResponse>(request).then(
      (response) => this.noteStatus(response),
      () => undefined,
    );
  }

  /** Learns from a status where the nodes are, and the leader when that names one. */
  noteStatus(status: StatusResponse): void {
    for (const member of status.members) this.route.learn(member.apiAddress);
    const leader = status.members.find((member) => member.nodeId === status.leader && status.leader !== '');
    if (leader !== undefined) this.route.learnLeader(leader.apiAddress);
  }
}

function detailsOf(error: HoldfastError) {
  return {
    cause: error,
    ...(error.field === undefined ? {} : { field: error.field }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}
