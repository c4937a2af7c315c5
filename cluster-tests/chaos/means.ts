import type { Prerequisite } from './machine.ts';

/**
 * Whether a test run may do without it. Outside CI the machine may lack anything, and the report says so; in CI only
 * what CI_WITHOUT names: a suite that cannot run there has failed.
 */
export function mayLack(
  need: Prerequisite,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  const { CI: isCi = '', CI_WITHOUT: without = '' } = environment;
  return isCi === '' || without.split(',').includes(need);
}
