import type { NodeId } from '../base/ids.ts';

/** Who leads, as this node knows it. */
export class Leadership {
  #isLeader = false;
  #leader: NodeId | null = null;

  changed(status: { readonly isLeader: boolean; readonly leader: NodeId | null }): void {
    this.#isLeader = status.isLeader;
    this.#leader = status.leader;
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  get leader(): NodeId | null {
    return this.#leader;
  }
}
