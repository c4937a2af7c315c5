import { afterAwaited, before, beforeAwaited, type Failpoint } from './failpoint.ts';

const DRIVER = 'src/node/keyChange/keyChangeDriver.ts';
const REWRITER = 'src/node/keyChange/rewriter.ts';
const KEYRING_FILE = 'src/node/keyringFile.ts';
const HELD_KEYS = 'src/envelope/heldKeys.ts';

/** The boundaries of the phases of a change of keys, in their order. Where several nodes are concerned, the comment says which. */
export const KEY_CHANGE_FAILPOINTS = {
  // The leader makes a key, and each member takes it: before and after it is in the key file.
  keyBeforeFile: before(
    HELD_KEYS,
    'this.#update((keys) => (keys.some((one) => one.fingerprint === fingerprint) ? keys : [...keys, stored]));',
  ),
  keyAfterFile: before(HELD_KEYS, 'const made = this.#options.wrap(key);'),
  // The leader has made it, and nobody knows of it.
  keyBeforePrepared: afterAwaited(
    DRIVER,
    "const key = change.source === 'environment' ? this.#provided() : keeper.make(change);",
  ),
  // A member has it, and has not said so; the leader has heard it, and has not noted it.
  keyBeforeProof: before(
    'src/node/keyChange/keyKeeper.ts',
    'const proof = possessionProof(key, { changeId, nodeId, nonce });',
  ),
  keyBeforeProofNoted: beforeAwaited(
    DRIVER,
    "await note({ ...NO_NOTE, id: change.id, note: 'proved', nodeId, newFingerprint });",
  ),
  // The leader activates, and later retires.
  keyringBeforePropose: before(DRIVER, 'const outcome = this.#parts.log().propose((place) => {'),
  keyringAfterPropose: before(DRIVER, "if ('place' in outcome) this.#proposed = outcome.place;"),
  // Every node applies either.
  keyringBeforeFile: before(KEYRING_FILE, 'const temporary = `${this.#path}.new`;'),
  keyringBeforeRename: before(KEYRING_FILE, 'renameSync(temporary, this.#path);'),
  keyringAfterFile: before(KEYRING_FILE, 'this.#stored = bytes;'),
  // Every node seals anew what it has, and counts what is left.
  rewriteAfterRows: {
    file: 'src/store/rewrite.ts',
    find: 'rewritten += count;',
    replace: 'rewritten += count; await POINT;',
    awaited: true,
  },
  rewriteAfterState: beforeAwaited(REWRITER, 'await rewriteFiles();'),
  rewriteBeforeLog: beforeAwaited(REWRITER, 'await forgetLog();'),
  rewriteBeforeCount: afterAwaited(REWRITER, 'if (this.#replaced !== replaced || this.#stopped) return;'),
  // Every node takes the old key out of its key file.
  oldKeyBeforeFile: before(
    HELD_KEYS,
    'this.#update((keys) => keys.filter((key) => key.fingerprint !== fingerprint));',
  ),
  oldKeyAfterFile: before(
    HELD_KEYS,
    'this.#all = this.#all.filter((key) => key.fingerprint !== fingerprint);',
  ),
} as const satisfies Readonly<Record<string, Failpoint>>;

export type KeyChangeFailpoint = keyof typeof KEY_CHANGE_FAILPOINTS;
