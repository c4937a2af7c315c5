/** Thrown when the program itself is wrong: the process must stop, nothing may catch it and go on. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/**
 * States what must hold here. Stays on in production: holdfast prefers stopping to guessing.
 * Numbered invariants name their number from docs/invariants.md, e.g. `assert(ok, 'I4: commit went back')`.
 * @throws InvariantViolation when `condition` is false
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Closes an exhaustive switch: the compiler refuses a forgotten case, the run time a forged one. */
export function unreachable(value: never, what: string): never {
  throw new InvariantViolation(`${what}: impossible value ${String(value)}`);
}

/** The value, when the surrounding code has proved that it is there. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new InvariantViolation(`${what} is missing`);
  return value;
}
