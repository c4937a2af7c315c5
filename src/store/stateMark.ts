import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Why a generation must not be used. `damaged`: something of it could not be read, so it has to prove itself again.
 * `diverged`: it is whole, and differs from what a majority of the voters holds.
 */
export interface Damage {
  readonly kind: 'damaged' | 'diverged';
  readonly generation: number;
  /** One line, without anything secret. */
  readonly reason: string;
}

const REASON_CHARACTERS_MAX = 500;
const MARK_PATTERN = /^(damaged|diverged) (0|[1-9][0-9]{0,14})\n([^\n]*)\n$/;
const POINTER_PATTERN = /^([1-9][0-9]{0,14})\n$/;

/** What stands in the file `current` instead of a generation. */
export function damageText({ kind, generation, reason }: Damage): string {
  const line = reason.replaceAll(/[\r\n]+/g, ' ').slice(0, REASON_CHARACTERS_MAX);
  return `${kind} ${generation}\n${line}\n`;
}

/** Null when the text is no mark. */
export function parseDamage(text: string): Damage | null {
  const match = MARK_PATTERN.exec(text);
  if (match === null) return null;
  const kind = match[1] === 'diverged' ? 'diverged' : 'damaged';
  return { kind, generation: Number(match[2]), reason: match[3] ?? '' };
}

/**
 * Marks the state that is in force, so that the next start does not use it. Synchronous: the process is about to end.
 * A mark that is there already stays.
 * @throws the system error
 */
export function markState(directory: string, { kind, reason }: Pick<Damage, 'kind' | 'reason'>): void {
  const folder = join(directory, 'state');
  const path = join(folder, 'current');
  const generation = Number(POINTER_PATTERN.exec(readFileSync(path, 'latin1'))?.[1] ?? 0);
  if (generation === 0) return;
  const temporary = `${path}.mark`;
  syncing(temporary, 'w', (descriptor) => writeSync(descriptor, damageText({ kind, generation, reason })));
  renameSync(temporary, path);
  syncing(folder, 'r', () => undefined);
}

function syncing(path: string, flags: 'r' | 'w', write: (descriptor: number) => void): void {
  const descriptor = openSync(path, flags, 0o600);
  try {
    write(descriptor);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
