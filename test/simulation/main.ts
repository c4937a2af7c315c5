import { Coverage } from './coverage.ts';
import { simulate } from './simulation.ts';

const [first = '1', count = '100', steps = '2000', trace] = process.argv.slice(2);
const coverage = new Coverage();
const started = performance.now();
let failed = 0;
let total = 0;
const sums = new Map<string, number>();
for (let seed = Number(first); seed < Number(first) + Number(count); seed += 1) {
  const result = await simulate({
    seed,
    steps: Number(steps),
    coverage,
    ...(trace ? { trace: (line: string) => console.log(line) } : {}),
  });
  total += result.steps;
  for (const [key, value] of Object.entries(result.counts)) sums.set(key, (sums.get(key) ?? 0) + value);
  if (result.failure !== null) {
    failed += 1;
    console.log(
      `seed ${seed} step ${result.failure.step} of ${result.knobs.voters} voters [${[...result.knobs.faults].join(' ')}]\n  ${result.failure.message.slice(0, 1500)}`,
    );
    if (failed > 5) break;
  }
}
const seconds = (performance.now() - started) / 1000;
console.log(
  `${count} seeds, ${failed} failed, ${total} steps, ${(Number(count) / seconds).toFixed(1)} seeds/s`,
);
console.log(JSON.stringify(Object.fromEntries(sums)));
