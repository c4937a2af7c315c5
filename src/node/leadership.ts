import type { NodeId } from '../base/ids.ts';

/** Who leads, as this node knows it. */
export class Leadership {
  #isLeader = false;
  #leader: NodeId | null = null;
  #term = 0;

  changed(status: {
    readonly isLeader: boolean;
    readonly leader: NodeId | null;
    readonly term: number;
  }): void {
    this.#isLeader = status.isLeader;
    this.#leader = status.leader;
    this.#term = status.term;
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  get leader(): NodeId | null {
    return this.#leader;
  }

  get term(): number {
    return this.#term;
  }
}
