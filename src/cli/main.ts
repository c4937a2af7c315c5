#!/usr/bin/env node
import process from 'node:process';
import { run } from './run.ts';

// Deprecations are for developers; an operator can do nothing about them.
process.noDeprecation = true;

const interruption = new AbortController();

async function main(): Promise<number> {
  // Once each: a second Ctrl-C ends the process the hard way.
  process.once('SIGINT', () => interruption.abort());
  process.once('SIGTERM', () => interruption.abort());
  endQuietlyWhenNobodyReads();
  return run(
    {
      environment: process.env,
      streams: { stdout: process.stdout, stderr: process.stderr },
      stdin: process.stdin,
      interrupted: interruption.signal,
    },
    process.argv.slice(2),
  );
}

/** `holdfast … | head` closes our stdout early: that is no error. Without stderr, the work still goes on. */
function endQuietlyWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const status = await main();
// An interrupted command may have left something under way: it is not waited for.
if (interruption.signal.aborted) process.exit(status);
process.exitCode = status;
