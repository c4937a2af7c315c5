/**
 * Loaded before a program with failpoints: says what happens at which. Specifications are separated by commas:
 *
 *   raftBeforeSave:exit        kill -9 of itself
 *   walRelease:sleep:500       milliseconds; holds up the event loop where the call is not awaited
 *   beforeApplyEntry:stall:300 a busy loop, milliseconds
 *   stateBatchBefore:error     throws
 *   raftAfterSave:exit@17      at the 17th time only, counted from when it was armed
 *
 * They come from HOLDFAST_FAILPOINTS, and from the file named by HOLDFAST_FAILPOINTS_FILE, which is looked at all the
 * time: whatever it says replaces what was armed. When it has been read, `FILE.armed` holds the same text; each act
 * is a line in `FILE.acts` before it happens.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { type Armed, armed } from './failpointSpecification.ts';

const LOOK_MS = 20;

const { HOLDFAST_FAILPOINTS: specification = '', HOLDFAST_FAILPOINTS_FILE: file } = process.env;
// The program refuses settings that it does not know.
delete process.env['HOLDFAST_FAILPOINTS'];
delete process.env['HOLDFAST_FAILPOINTS_FILE'];

let points: Map<string, Armed> = armed(specification);
let lastText = '';

function look(path: string): void {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return;
  }
  if (text === lastText) return;
  lastText = text;
  points = armed(text);
  writeFileSync(`${path}.armed`, text);
}

if (file !== undefined) {
  look(file);
  setInterval(look, LOOK_MS, file).unref();
}

function waitHere(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}

const ACTIONS: Readonly<Record<Armed['action'], (name: string, durationMs: number) => void>> = {
  exit: () => {
    process.kill(process.pid, 'SIGKILL');
    // The signal may take a moment; nothing may happen in it.
    waitHere(10_000);
  },
  error: (name) => {
    throw new Error(`failpoint ${name}`);
  },
  stall: (_name, durationMs) => {
    const endMs = performance.now() + durationMs;
    while (performance.now() < endMs);
  },
  sleep: (_name, durationMs) => waitHere(durationMs),
};

function act(name: string, { action, durationMs }: Armed, awaited: boolean): Promise<void> | undefined {
  if (file !== undefined) appendFileSync(`${file}.acts`, `${name} ${action}\n`);
  if (action === 'sleep' && awaited) return new Promise((goOn) => setTimeout(goOn, durationMs));
  ACTIONS[action](name, durationMs);
  return undefined;
}

(globalThis as { __failpoint?: unknown }).__failpoint = (
  name: string,
  awaited: boolean,
): Promise<void> | undefined => {
  const point = points.get(name);
  if (point === undefined) return undefined;
  point.passed += 1;
  return point.at === null || point.passed === point.at ? act(name, point, awaited) : undefined;
};
