import { execFileSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import { runHere } from './rig.ts';

let script: string;
beforeAll(async () => {
  script = (await runHere(['completion', 'bash'])).stdout.toString();
});

/** What bash offers after these words, of which the last is being typed. */
function offered(words: readonly string[]): readonly string[] {
  const call = 'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _holdfast; printf "%s\\n" "${COMPREPLY[@]}"';
  const said = execFileSync('bash', ['-c', `${script}\n${call}`, 'bash', 'holdfast', ...words]);
  return said.toString().trim().split('\n');
}

describe('completion', () => {
  it.each([
    [['sta'], ['status']],
    [['kv', 'im'], ['import']],
    [['kv', 'put', 'some-key', '--fi'], ['--file']],
    [['--output', 'json', 'kv', 'ge'], ['get']],
    [['doctor', '--data'], ['--data-dir']],
    [['member', 'add-token', '--r'], ['--role']],
  ])('%j is completed to %j', (words, expected) => {
    expect(offered(words)).toEqual(expected);
  });

  it.each(['zsh', 'fish'])('has a script for %s', async (shell) => {
    const { status, stdout } = await runHere(['completion', shell]);
    expect(status).toBe(0);
    expect(stdout.toString()).toContain('add-token');
  });

  it('refuses another shell', async () => {
    expect((await runHere(['completion', 'tcsh'])).status).toBe(2);
  });
});
