import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { installDifference } from '../../scripts/install.mjs';
import { ROOT } from './sourceTree.ts';

interface LockEntry {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

type Packages = Readonly<Record<string, LockEntry>>;

const readJson = (file: string): unknown => JSON.parse(readFileSync(path.join(ROOT, file), 'utf8'));
const locked = (readJson('package-lock.json') as { packages: Packages }).packages;
const manifest = readJson('package.json') as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
};

describe('packages', () => {
  it('are pinned', () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  it('for other platforms are in the lock file too, or npm ci refuses it', () => {
    const missing = Object.entries(locked).flatMap(([folder, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter(
        (name) =>
          locked[`${folder}/node_modules/${name}`] === undefined &&
          locked[`node_modules/${name}`] === undefined,
      ),
    );
    expect(missing).toEqual([]);
  });

  it('come from where the machine that installs gets its packages', () => {
    expect(Object.keys(locked).filter((folder) => locked[folder]?.resolved !== undefined)).toEqual([]);
  });

  it('run nothing after an install of ours', () => {
    expect(Object.keys(manifest.scripts).filter((name) => /install/.test(name))).toEqual([]);
  });
});

describe('installDifference', () => {
  const otherPlatform = process.platform === 'win32' ? 'linux' : 'win32';
  const wanted: Packages = {
    '': { version: '0.1.0' },
    'node_modules/a': { version: '1.0.0', integrity: 'x' },
    'node_modules/b': { version: '2.0.0', optional: true, os: [otherPlatform] },
  };
  const { '': _root, 'node_modules/b': absent, ...installed } = wanted;

  it('is none when only optional packages of other platforms are absent', () => {
    expect(installDifference(wanted, installed)).toBeUndefined();
  });

  it.each<[string, Packages | undefined]>([
    ['nothing is installed', undefined],
    ['node_modules/a is missing', {}],
    ['node_modules/a is 1.0.1, not 1.0.0', { 'node_modules/a': { version: '1.0.1', integrity: 'x' } }],
    ['node_modules/a has other content', { 'node_modules/a': { version: '1.0.0', integrity: 'y' } }],
    ['node_modules/c does not belong here', { ...installed, 'node_modules/c': { version: '1.0.0' } }],
    [
      'node_modules/b is for another kind of machine',
      { ...installed, 'node_modules/b': absent as LockEntry },
    ],
  ])('%s', (reason, found) => {
    expect(installDifference(wanted, found)).toBe(reason);
  });
});
