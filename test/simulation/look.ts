import { parseArgs } from 'node:util';
import { FAULTS, type Fault } from './knobs.ts';
import { simulate } from './simulation.ts';

/** One run, event by event: for finding out why a seed fails. */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '2000' },
    without: { type: 'string', default: '' },
    voters: { type: 'string' },
    messages: { type: 'boolean', default: false },
  },
});

const without = values.without
  .split(',')
  .filter((name): name is Fault => (FAULTS as readonly string[]).includes(name));
const result = await simulate({
  seed: Number(values.seed),
  steps: Number(values.steps),
  without,
  ...(values.voters === undefined ? {} : { voters: Number(values.voters) }),
  trace: (line) => console.log(line),
  messages: values.messages,
});
console.log(
  JSON.stringify({ ...result, knobs: { ...result.knobs, faults: [...result.knobs.faults] } }, null, 2),
);
process.exitCode = result.failure === null ? 0 : 1;
