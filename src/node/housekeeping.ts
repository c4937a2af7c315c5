import type { Clock } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Store } from '../store/store.ts';
import type { Alerts } from './alerts.ts';
import { dueCheckpoint } from './auditRetention.ts';
import type { NodeCore, StateAnnouncement } from './core.ts';
import type { Submission } from './submit.ts';

const SWEEP_INTERVAL_MS = 100;
const DUTY_INTERVAL_MS = 500;

export interface HousekeepingParts {
  readonly core: NodeCore;
  readonly store: Store;
  readonly clock: Clock;
  readonly alerts: Pick<Alerts, 'tick'>;
  /** Tells all other nodes. */
  readonly announce: (announcement: StateAnnouncement) => void;
}

/** What has to be done from time to time: deadlines on every node, promotion and expiry at the leader. */
export class Housekeeping {
  readonly #core: NodeCore;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #timers: readonly NodeJS.Timeout[];
  #proposed = false;

  constructor({ core, store, clock, alerts, announce }: HousekeepingParts) {
    this.#core = core;
    this.#store = store;
    this.#clock = clock;
    this.#timers = [
      setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS),
      setInterval(() => this.#lead(), DUTY_INTERVAL_MS),
      setInterval(() => store.progressTick(), LIMITS.watchProgressIntervalMs),
      setInterval(() => announce(core.announcement()), LIMITS.stateCheckpointsTickMs),
      setInterval(() => void core.reserve.check(), LIMITS.diskCheckIntervalMs),
      setInterval(() => void alerts.tick(), LIMITS.alertTickMs),
      setInterval(() => this.#note(), LIMITS.denialFlushIntervalMs),
    ];
    void core.reserve.check();
  }

  #note(): void {
    const deadlineMs = this.#clock.monotonicMs() + LIMITS.requestTimeoutMs;
    void this.#core.denials.flush(deadlineMs);
    void this.#core.tokenUses.flush(deadlineMs);
  }

  #sweep(): void {
    this.#core.submit.sweep();
    this.#core.read.sweep();
    this.#core.membership.sweep();
  }

  #lead(): void {
    if (!this.#core.leadership.isLeader) return;
    this.#core.membership.promoteCaughtUp();
    this.#expire();
  }

  /** What expires does so through an entry: in an idle cluster somebody has to let log time pass. */
  #expire(): void {
    const { dueMs, audit, authority } = this.#store;
    const stampMs = this.#core.logClock.stampMs();
    if (dueMs !== null && stampMs >= dueMs) this.#propose({ advanceTime: {} });
    const checkpoint = this.#proposed ? null : dueCheckpoint({ audit, authority, stampMs });
    if (checkpoint !== null) this.#propose({ checkpointAudit: { checkpoint } });
  }

  /** One at a time. */
  #propose(duty: Omit<Submission, 'principal'>): void {
    if (this.#proposed) return;
    this.#proposed = true;
    const deadlineMs = this.#clock.monotonicMs() + LIMITS.requestTimeoutMs;
    this.#core.submit
      .submit({ principal: { kind: 'node', name: 'leader', address: '' }, ...duty }, deadlineMs)
      .then(
        () => undefined,
        // It is due again at the next turn.
        () => undefined,
      )
      .finally(() => {
        this.#proposed = false;
      });
  }

  /** Once nothing more is denied, and while what was can still be recorded. Never rejects. */
  async stop(): Promise<void> {
    await this.#core.denials.stop();
    for (const timer of this.#timers) clearInterval(timer);
  }
}
