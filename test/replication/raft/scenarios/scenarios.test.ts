import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runScript } from './runScript.ts';
import { parseCommand, parseScript, renderScript } from './script.ts';

const FOLDER = fileURLToPath(new URL('../../../testdata/scenarios', import.meta.url));
const REWRITE = process.env['SCENARIO_REWRITE'] === '1';

describe('scenarios of the raft core', () => {
  const names = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.txt'))
    .toSorted();

  test.each(names)('%s', (name) => {
    const file = path.join(FOLDER, name);
    const text = readFileSync(file, 'utf8');
    const played = renderScript(runScript(parseScript(text)));
    if (REWRITE) writeFileSync(file, played);
    else expect(played).toBe(text);
  });

  test('docs/testing.md names every script, and none that is not there', () => {
    const page = readFileSync(new URL('../../../../docs/testing.md', import.meta.url), 'utf8');
    const [, section = ''] = page.split('## Scripted scenarios\n');
    const rows = (section.split('\n## ')[0] ?? '').split('| etcd-io/raft |')[1]?.split('\n') ?? [];
    const cells = rows.map((row) => row.split('|').slice(2, 3).join(''));
    const named = new Set(
      cells.flatMap((cell) => [...cell.matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name)),
    );
    expect(named).toEqual(new Set(names.map((name) => name.replace('.txt', ''))));
  });

  test('the language: comments and blocks come back as they were', () => {
    const text = '# one\n\nadd-nodes voters=1 quiet\nlog 1\n----\nanything\n\n# the end\n';
    expect(renderScript(parseScript(text))).toBe(text);
  });

  test('the language: what a command line says', () => {
    expect(parseCommand('deliver 1 2 from=3 type=append "two words" quiet')).toEqual({
      name: 'deliver',
      nodes: [1, 2],
      options: new Map([
        ['from', '3'],
        ['type', 'append'],
      ]),
      words: ['two words'],
      quiet: true,
    });
  });

  test.each([
    'nonsense 1\n----\n',
    'campaign 1\n',
    'campaign 7\n----\n',
    'deliver from=x\n----\n',
    'deliver form=1\n----\n',
    'add-nodes voters=1\nstall 1 disc\n----\n',
  ])('the language: %j is refused', (text) => {
    expect(() => runScript(parseScript(text))).toThrow();
  });
});
