/** One wait at a time that somebody in a hurry can end; a hurry before it begins counts too, for one wait. */
export class HurriedWait {
  #end: (() => void) | null = null;
  #hurried = false;

  /** Resolves after `ms`, or at the next `hurry`. */
  wait(ms: number): Promise<void> {
    if (this.#hurried) {
      this.#hurried = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.hurry(), ms);
      this.#end = () => {
        clearTimeout(timer);
        this.#end = null;
        resolve();
      };
    });
  }

  hurry(): void {
    if (this.#end === null) this.#hurried = true;
    else this.#end();
  }
}
