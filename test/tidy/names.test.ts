import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CODE_PLACES, filesIn } from './sourceTree.ts';

/** Names that say nothing of what is inside. */
const EMPTY_NAME = /^(?:utils?|helpers?|common|managers?|misc)$|(?:Utils?|Helpers?|Manager)$/i;

const isEmptyName = (file: string): boolean =>
  file.split('/').some((part) => EMPTY_NAME.test(path.posix.basename(part).split('.')[0] ?? ''));

/** Where a machine's own folders begin; written so that this file does not hold them itself. */
const MACHINE_PATH = /(?<![\w.$}-])\/(?:home|Users|root|wor[k])\/[\w.-]+/;

const ALL_PLACES = [
  ...CODE_PLACES,
  'proto',
  'docs',
  '.ci',
  'package.json',
  'README.md',
  'CHANGELOG.md',
  'Dockerfile',
  'docker-compose.yml',
];

describe('names', () => {
  it('of files say what is inside', () => {
    expect(
      filesIn(CODE_PLACES)
        .map((file) => file.path)
        .filter(isEmptyName),
    ).toEqual([]);
  });

  it.each(['src/store/utils.ts', 'src/helpers/a.ts', 'test/misc.test.ts', 'src/node/ConnectionManager.ts'])(
    '%s would be refused',
    (file) => {
      expect(isEmptyName(file)).toBe(true);
    },
  );

  it('of folders of some machine are nowhere', () => {
    const found = filesIn(ALL_PLACES, ['']).flatMap((file) => {
      const match = MACHINE_PATH.exec(file.text);
      return match === null ? [] : [`${file.path}: ${match[0]}`];
    });
    expect(found).toEqual([]);
  });

  it.each([['', 'home', 'me', 'x'].join('/'), `see ${['', 'root', 'x'].join('/')}`])(
    '%s would be seen',
    (text) => {
      expect(text).toMatch(MACHINE_PATH);
    },
  );
});
