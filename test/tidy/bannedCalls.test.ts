import { describe, expect, it } from 'vitest';
import { codeOnly, importsOf, lineOf } from './sourceText.ts';
import { CODE_PLACES, filesIn, type SourceFile } from './sourceTree.ts';

interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Files and folders that it does not hold for. */
  readonly except?: readonly string[];
  /** Look at comments and literals too. */
  readonly inText?: true;
}

const IN_SOURCE: readonly Ban[] = [
  {
    pattern: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bhrtime\b/,
    instead: 'a Clock',
    except: ['src/base/clock.ts'],
  },
  { pattern: /\bMath\.random\b/, instead: 'a RandomSource' },
  {
    pattern: /\b(?:randomBytes|randomFill(?:Sync)?|randomInt|randomUUID|getRandomValues)\b/,
    instead: 'a RandomSource',
    except: ['src/base/random.ts'],
  },
  {
    pattern: /\bprocess\.env\b/,
    instead: 'settings from node/config',
    except: ['src/node/config*', 'src/cli'],
  },
  { pattern: /\bconsole\./, instead: 'a Logger, or the output of the CLI' },
  {
    pattern: /\bprocess\.exit\(/,
    instead: 'an error that ends the program, or process.exitCode',
    except: ['src/node', 'src/cli'],
  },
  { pattern: /\bcreate(?:C|Dec)ipheriv\b/, instead: 'envelope/', except: ['src/envelope'] },
  {
    // Behind each of them a pinned authority, or the verified member certificate, is asked for before anything else.
    pattern: /\brejectUnauthorized: false\b/,
    instead: 'a pinned authority',
    except: [
      'src/client/presentedAuthority.ts',
      'src/trust/pinnedAuthority.ts',
      'src/replication/transport/peerServer.ts',
    ],
  },
];

const EVERYWHERE: readonly Ban[] = [
  { pattern: /\bas any\b|: any\b|<any>|\bany\[\]/, instead: 'a type, or unknown' },
  {
    pattern: /@ts-(?:ignore|expect-error|nocheck)\b/,
    instead: 'types that hold',
    inText: true,
    except: ['test/tidy'],
  },
  {
    pattern: /catch\s*(?:\(\w*\)\s*)?\{\s*\}/,
    instead: 'handling, or a comment that says why not',
    inText: true,
    except: ['test/tidy'],
  },
];

/** Time passes by itself only where a condition is waited for with a deadline; everywhere else a test moves a clock. */
const WAITING_FILE = /\/(?:until|waitFor)\.ts$/;
const IN_TESTS: readonly Ban[] = [
  {
    pattern: /\bsetTimeout\(\s*(?:resolve|done|r)\b/,
    instead: 'a wait for a condition',
  },
];
const TIMER_PROMISES = 'node:timers/promises';

/** A pure core answers from its arguments alone, at once. */
const PURE_PLACES = [
  'src/replication/raft',
  'src/command',
  'src/access/policy',
  'src/store/access.ts',
  'src/store/changeAccess.ts',
  'src/store/granting.ts',
  'src/store/users.ts',
  'src/store/apply*',
  'src/store/compaction.ts',
  'src/store/keyIndex.ts',
  'src/store/records.ts',
  'src/store/rowChanges.ts',
  'src/store/stateDigest.ts',
  'src/store/transaction*',
];
const IN_PURE_CORES: readonly Ban[] = [
  { pattern: /\basync\b|\bawait\b|\bPromise\b/, instead: 'a returned value' },
  {
    pattern: /\bDate\b|\bperformance\b|\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b|\bqueueMicrotask\b/,
    instead: 'tick()',
  },
  { pattern: /\bnextTick\b|\bprocess\./, instead: 'an argument' },
];
const PURE_MODULES = /^(?:\.|node:crypto$|node:assert$|node:buffer$|sorted-btree$)/;

/** Whether a file is one of these files, or lies in one of these folders; `name*` is every file that begins so. */
const isIn = (file: string, places: readonly string[]): boolean =>
  places.some((place) =>
    place.endsWith('*')
      ? file.startsWith(place.slice(0, -1))
      : file === place || file.startsWith(`${place}/`),
  );

function violations(file: SourceFile, bans: readonly Ban[]): readonly string[] {
  return bans
    .filter((ban) => !isIn(file.path, ban.except ?? []))
    .flatMap((ban) => {
      const where = ban.inText === true ? file.text : file.code;
      return [...where.matchAll(new RegExp(ban.pattern, 'g'))].map(
        (match) => `${file.path}:${lineOf(where, match.index)}: ${match[0]}: use ${ban.instead}`,
      );
    });
}

const isPure = (file: SourceFile): boolean => isIn(file.path, PURE_PLACES);

const impureImports = (file: SourceFile): readonly string[] =>
  importsOf(file.text)
    .filter((name) => !PURE_MODULES.test(name))
    .map((name) => `${file.path}: a pure core does not import ${name}`);

describe('banned calls', () => {
  const source = filesIn(['src']);

  it('are not in src', () => {
    expect(source.flatMap((file) => violations(file, IN_SOURCE))).toEqual([]);
  });

  it('are not in any code', () => {
    expect(filesIn(CODE_PLACES).flatMap((file) => violations(file, EVERYWHERE))).toEqual([]);
  });

  it('are not in tests', () => {
    const tests = filesIn(['test', 'cluster-tests']).filter((file) => !WAITING_FILE.test(file.path));
    expect(tests.flatMap((file) => violations(file, IN_TESTS))).toEqual([]);
    const sleepers = tests.filter((file) => importsOf(file.text).includes(TIMER_PROMISES));
    expect(sleepers.map((file) => file.path)).toEqual([]);
  });

  it('are not in pure cores', () => {
    const pure = source.filter(isPure);
    expect(pure.length).toBeGreaterThan(0);
    expect(pure.flatMap((file) => [...violations(file, IN_PURE_CORES), ...impureImports(file)])).toEqual([]);
  });

  const sample = (path: string, text: string): SourceFile => ({ path, text, code: codeOnly(text) });

  it.each([
    ['src/store/a.ts', 'const now = Date.now();'],
    ['src/store/a.ts', 'const now = new Date();'],
    ['src/store/a.ts', 'const name = process.env.HOME;'],
    ['src/api/a.ts', 'const options = { rejectUnauthorized: false };'],
    ['src/api/a.ts', "import { createCipheriv } from 'node:crypto';"],
  ])('would be seen in %s: %s', (path, text) => {
    expect(violations(sample(path, text), IN_SOURCE)).toHaveLength(1);
  });

  it.each([
    ['const a = b as any;'],
    ['function a(b: any) {}'],
    ['try { a(); } catch { }'],
    ['try { a(); } catch (error) {\n}'],
  ])('would be seen anywhere: %s', (text) => {
    expect(violations(sample('test/a.ts', text), EVERYWHERE)).toHaveLength(1);
  });

  it('would be seen in a pure core', () => {
    const file = sample(
      'src/replication/raft/a.ts',
      "import fs from 'node:fs';\nasync function a() { await b; }\n",
    );
    expect(violations(file, IN_PURE_CORES)).toHaveLength(2);
    expect(impureImports(file)).toHaveLength(1);
  });

  it('are allowed in comments, strings and the files they are named for', () => {
    expect(
      violations(sample('src/store/a.ts', "// Date.now()\nconst a = 'Math.random';"), IN_SOURCE),
    ).toEqual([]);
    expect(violations(sample('src/base/clock.ts', 'const a = Date.now();'), IN_SOURCE)).toEqual([]);
  });
});
