/** What has to be undone, last first, however the run ends. */
export class Cleanup {
  readonly #undo: { readonly what: string; readonly run: () => unknown }[] = [];
  #running: Promise<void> | null = null;

  add(what: string, run: () => unknown): void {
    this.#undo.push({ what, run });
  }

  /** Undoes everything once; what fails is told, and the rest is still undone. */
  run(): Promise<void> {
    this.#running ??= this.#runAll();
    return this.#running;
  }

  async #runAll(): Promise<void> {
    for (const { what, run } of this.#undo.splice(0).reverse()) {
      try {
        await run();
      } catch (thrown) {
        process.stderr.write(
          `cleaning up ${what}: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`,
        );
      }
    }
  }
}
