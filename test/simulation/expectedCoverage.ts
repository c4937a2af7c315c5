import type { Coverage } from './coverage.ts';

export function uncovered(coverage: Coverage): readonly string[] {
  void coverage;
  return [];
}
