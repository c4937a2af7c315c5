import { LIMITS } from '../../base/limits.ts';

interface Seen {
  readonly what: string;
  readonly timeMs: number;
  readonly times: number;
}

/**
 * How often something was seen of each of many subjects within a time. Remembers LIMITS.alertSubjectsMax subjects, and of each no
 * more than it takes to reach the count that is asked about.
 */
export class SlidingCount {
  readonly #subjects = new Map<string, Seen[]>();
  readonly #withinMs: number;
  readonly #count: number;

  constructor({ withinMs, count }: { readonly withinMs: number; readonly count: number }) {
    this.#withinMs = withinMs;
    this.#count = count;
  }

  /**
   * Takes one more in, and says how often all that was seen of the subject within the time was seen. What is the same (`what`)
   * counts once, at its last time.
   */
  add(subject: string, seen: Seen): number {
    const earlier = this.#subjects.get(subject) ?? [];
    const oldest = seen.timeMs - this.#withinMs;
    const others = earlier.filter(({ what, timeMs }) => timeMs > oldest && what !== seen.what);
    const all = [...others, seen].slice(-this.#count);
    // As new: the one that was quiet longest is the first one.
    this.#subjects.delete(subject);
    this.#subjects.set(subject, all);
    const [quietest] = this.#subjects.keys();
    if (this.#subjects.size > LIMITS.alertSubjectsMax && quietest !== undefined)
      this.#subjects.delete(quietest);
    return all.reduce((sum, { times }) => sum + times, 0);
  }
}
