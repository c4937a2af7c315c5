import { afterEach, beforeEach } from 'vitest';

/**
 * For files whose tests share one cluster: what a failed test has left is no ground to judge the others on, and each
 * of them would wait for its deadline. They fail at once and name the first one.
 */
export function failAfterTheFirst(): void {
  let first: string | undefined;

  beforeEach(() => {
    if (first !== undefined) throw new Error(`not run: the cluster is as "${first}" has left it`);
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') first ??= task.name;
  });
}
