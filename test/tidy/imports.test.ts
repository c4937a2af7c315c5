import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf } from './sourceText.ts';
import { filesIn, type SourceFile } from './sourceTree.ts';

/**
 * Who may import whom, by the longest place that a file lies in (docs/architecture.md draws it). A place may always
 * import itself, and `base`, which imports nothing. `proto` is allowed where something has a wire or stored form.
 */
const PLACES: Readonly<
  Record<string, { readonly from: readonly string[]; readonly packages: readonly string[] }>
> = {
  base: { from: [], packages: [] },
  proto: { from: [], packages: ['protobufjs'] },
  envelope: { from: [], packages: [] },
  command: { from: ['proto', 'audit/record'], packages: [] },
  replication: { from: [], packages: [] },
  'replication/raft': { from: [], packages: [] },
  'replication/wal': { from: ['replication/raft'], packages: ['level'] },
  'replication/transport': {
    from: ['replication', 'replication/raft', 'proto'],
    packages: ['@grpc/grpc-js'],
  },
  store: {
    from: ['command', 'envelope', 'access/policy', 'audit/record', 'proto'],
    packages: ['level', 'sorted-btree'],
  },
  access: { from: ['command', 'proto'], packages: ['jose'] },
  'access/policy': { from: ['command', 'proto'], packages: [] },
  audit: { from: ['envelope', 'proto', 'access/policy'], packages: [] },
  'audit/record': { from: ['proto'], packages: [] },
  trust: { from: ['envelope', 'proto'], packages: ['@grpc/grpc-js', '@peculiar/x509', 'reflect-metadata'] },
  snapshot: { from: ['envelope', 'store'], packages: [] },
  api: {
    from: ['proto', 'command', 'access/policy'],
    packages: ['@grpc/grpc-js', '@grpc/proto-loader', '@grpc/reflection', 'grpc-health-check'],
  },
  client: { from: ['proto'], packages: ['@grpc/grpc-js'] },
  node: { from: ['*'], packages: ['pino', 'yaml', 'zod'] },
  cli: {
    from: ['client', 'proto', 'audit', 'audit/record'],
    packages: ['cli-table3', 'commander', 'picocolors', 'yaml', 'zod'],
  },
  'cli/offline': {
    from: ['cli', 'client', 'proto', 'node', 'command', 'access/policy', 'audit', 'audit/record'],
    packages: ['commander'],
  },
  'cli/server': { from: ['cli', 'cli/offline', 'client', 'proto', 'node'], packages: ['commander'] },
};

/** Places that consist of others. */
const INSIDE: Readonly<Record<string, readonly string[]>> = {
  replication: ['replication/raft', 'replication/wal', 'replication/transport'],
  cli: ['cli/offline', 'cli/server'],
  access: ['access/policy'],
  audit: ['audit/record'],
};

function placeOf(file: string): string {
  const inSource = file.replace(/^src\//, '').replace(/\.ts$/, '');
  const places = Object.keys(PLACES).filter(
    (place) => inSource === place || inSource.startsWith(`${place}/`),
  );
  return places.toSorted((a, b) => b.length - a.length)[0] ?? inSource;
}

/** `@scope/name/file` is `@scope/name`. */
const packageOf = (name: string): string => name.split('/', name.startsWith('@') ? 2 : 1).join('/');

/** Why `file` may not import `name`, or undefined. */
function objection(file: SourceFile, name: string): string | undefined {
  const place = placeOf(file.path);
  const rule = PLACES[place];
  if (rule === undefined) return `${file.path}: no rule for src/${place}; add it to the table on purpose`;
  if (name.startsWith('node:')) return undefined;
  if (!name.startsWith('.')) {
    return rule.packages.includes(packageOf(name))
      ? undefined
      : `${file.path}: package ${name} is not for ${place}`;
  }
  const target = placeOf(path.posix.join(path.posix.dirname(file.path), name));
  const allowed = [place, 'base', ...rule.from, ...(INSIDE[place] ?? [])];
  const isAllowed = (rule.from[0] === '*' && !target.startsWith('cli')) || allowed.includes(target);
  return isAllowed ? undefined : `${file.path}: ${place} may not import ${target} (${name})`;
}

const objections = (file: SourceFile): readonly string[] =>
  importsOf(file.text).flatMap((name) => objection(file, name) ?? []);

describe('imports', () => {
  it('go only where the layout allows', () => {
    expect(filesIn(['src']).flatMap(objections)).toEqual([]);
  });

  it.each([
    ['src/api/a.ts', '../trust/x509.ts', 'api may not import trust'],
    ['src/replication/raft/a.ts', '../wal/frame.ts', 'replication/raft may not import replication/wal'],
    ['src/envelope/a.ts', '../proto/storage.ts', 'envelope may not import proto'],
    ['src/store/a.ts', '../access/passwords.ts', 'store may not import access'],
    ['src/cli/status.ts', '../node/config.ts', 'cli may not import node'],
    ['src/node/a.ts', '../cli/output.ts', 'node may not import cli'],
    ['src/store/a.ts', '@grpc/grpc-js', 'package @grpc/grpc-js is not for store'],
    ['src/base/a.ts', 'level', 'package level is not for base'],
    ['src/panel/a.ts', '../base/assert.ts', 'no rule for src/panel'],
  ])('%s may not import %s', (file, name, reason) => {
    expect(objections({ path: file, text: `import { a } from '${name}';\n`, code: '' }).join()).toContain(
      reason,
    );
  });

  it.each([
    ['src/store/a.ts', '../access/policy.ts'],
    ['src/cli/server.ts', '../node/config.ts'],
    ['src/cli/offline/key.ts', '../../node/config.ts'],
    ['src/node/a.ts', '../replication/wal/diskWal.ts'],
    ['src/replication/wal/a.ts', '../raft/types.ts'],
  ])('%s may import %s', (file, name) => {
    expect(objections({ path: file, text: `import { a } from '${name}';\n`, code: '' })).toEqual([]);
  });
});
