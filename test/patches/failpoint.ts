/** Where a program can be told to stop, wait or fail. */
export interface Failpoint {
  readonly file: string;
  readonly find: string;
  /** `POINT` becomes the call. */
  readonly replace: string;
  /** The call is awaited: the action `sleep` does not hold up the event loop then. */
  readonly awaited?: true;
}

export function before(file: string, find: string): Failpoint {
  return { file, find, replace: `POINT; ${find}` };
}

export function after(file: string, find: string): Failpoint {
  return { file, find, replace: `${find} POINT;` };
}

export function beforeAwaited(file: string, find: string): Failpoint {
  return { file, find, replace: `await POINT; ${find}`, awaited: true };
}

export function afterAwaited(file: string, find: string): Failpoint {
  return { file, find, replace: `${find} await POINT;`, awaited: true };
}
