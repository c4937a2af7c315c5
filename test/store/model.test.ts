import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { keyFromBytes } from '../../src/command/keys.ts';
import type { KeyValue, Operation, Outcome } from '../../src/proto/storage.ts';
import { codeOf, command, put, read, remove, StoreRig, write } from './storeRig.ts';

/** What is expected of the store, as plainly as it can be said: every version of every key, and nothing clever. */
class Model {
  readonly versions = new Map<string, ModelVersion[]>();
  revision = 0;
  compacted = 0;

  at(key: string, revision: number): ModelVersion | undefined {
    const version = this.versions.get(key)?.findLast((one) => one.revision <= revision);
    return version?.value === null ? undefined : version;
  }

  run(operations: readonly ModelOperation[]): void {
    const revision = this.revision + 1;
    let changed = false;
    for (const operation of operations) {
      if (operation.kind === 'put') {
        this.#put(operation.key, { value: operation.value, revision });
        changed = true;
      }
      if (operation.kind !== 'delete') continue;
      for (const key of this.keys(operation)) {
        if (this.at(key, revision) === undefined) continue;
        this.versions.get(key)?.push({ value: null, revision, created: 0, version: 0 });
        changed = true;
      }
    }
    if (changed) this.revision = revision;
  }

  keys({ start, end }: { start: string; end: string }): string[] {
    return [...this.versions.keys()].filter((key) => key >= start && (end === '' || key < end)).sort();
  }

  range(bounds: { start: string; end: string }, revision: number): [string, ModelVersion][] {
    return this.keys(bounds).flatMap((key): [string, ModelVersion][] => {
      const version = this.at(key, revision);
      return version === undefined ? [] : [[key, version]];
    });
  }

  #put(key: string, { value, revision }: { value: string; revision: number }): void {
    const before = this.at(key, revision);
    const list = this.versions.get(key) ?? [];
    this.versions.set(key, list);
    list.push({ value, revision, created: before?.created ?? revision, version: (before?.version ?? 0) + 1 });
  }
}

interface ModelVersion {
  value: string | null;
  revision: number;
  created: number;
  version: number;
}

type ModelOperation =
  | { kind: 'put'; key: string; value: string }
  | { kind: 'delete'; start: string; end: string }
  | { kind: 'range'; start: string; end: string };

type Step =
  | { kind: 'transaction'; operations: ModelOperation[] }
  | { kind: 'compact'; fraction: number }
  | { kind: 'reopen' }
  | { kind: 'flush' };

const KEYS = ['__proto__', 'constructor', 'a', 'a\0', 'a\0b', 'b', '\xff', '\xff\xff', '\0'];
const key = fc.constantFrom(...KEYS);
const bounds = fc.oneof(
  key.map((start) => ({ start, end: `${start}\0` })),
  key.map((start) => ({ start, end: '' })),
  fc
    .tuple(key, key)
    .map(([one, other]) => (one < other ? { start: one, end: other } : { start: other, end: `${one}\0` })),
);
const operation: fc.Arbitrary<ModelOperation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value: fc.string({ maxLength: 5 }) }),
  fc.record({ kind: fc.constant('put' as const), key, value: fc.string({ maxLength: 5 }) }),
  bounds.map((range) => ({ kind: 'delete' as const, ...range })),
  bounds.map((range) => ({ kind: 'range' as const, ...range })),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('transaction' as const),
      operations: fc.array(operation, { minLength: 1, maxLength: 5 }).map(writesOnce),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      fraction: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
);

/** A branch writes a key once: later operations that would write it again are left out. */
function writesOnce(operations: ModelOperation[]): ModelOperation[] {
  const puts: string[] = [];
  const deleted: { start: string; end: string }[] = [];
  return operations.filter((one) => {
    if (one.kind === 'put') {
      const taken =
        puts.includes(one.key) ||
        deleted.some(({ start, end }) => one.key >= start && (end === '' || one.key < end));
      if (!taken) puts.push(one.key);
      return !taken;
    }
    if (one.kind === 'delete') {
      if (puts.some((put) => put >= one.start && (one.end === '' || put < one.end))) return false;
      deleted.push(one);
    }
    return true;
  });
}

function realOperation(one: ModelOperation): Operation {
  if (one.kind === 'put') return put(one.key, one.value, true);
  return one.kind === 'delete' ? remove(one.start, one.end, true) : read(one.start, one.end);
}

function plain(item: KeyValue | null | undefined) {
  if (!item) return undefined;
  const value = Buffer.from(item.value).toString();
  return [
    keyFromBytes(item.key),
    { value, revision: item.modRevision, created: item.createRevision, version: item.version },
  ];
}

describe('the store against a model', () => {
  let rig: StoreRig | undefined;
  afterEach(async () => {
    await rig?.destroy();
    rig = undefined;
  });

  it('answers like it, whatever is asked in whatever order', async () => {
    const runs = { numRuns: 40, interruptAfterTimeLimit: 20_000 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        // A tiny cache, so that values come from disk too.
        rig = await StoreRig.create({ cacheBytesMax: 64 });
        const model = new Model();
        try {
          for (const one of steps) await take(one, { rig, model });
          checkAll({ rig, model });
          await rig.reopen();
          checkAll({ rig, model });
        } finally {
          await rig.destroy();
        }
      }),
      runs,
    );
  });

  async function take(one: Step, both: { rig: StoreRig; model: Model }): Promise<void> {
    const { rig, model } = both;
    if (one.kind === 'flush') return rig.store.flushed();
    if (one.kind === 'reopen') return rig.reopen();
    if (one.kind === 'compact') {
      const revision = Math.max(1, Math.floor(one.fraction * model.revision));
      const expected =
        revision > model.revision ? 'FUTURE_REVISION' : revision <= model.compacted ? 'COMPACTED' : 'none';
      expect(codeOf(rig.apply(command({ compact: { revision } }))[0])).toBe(expected);
      if (expected === 'none') model.compacted = revision;
      return undefined;
    }
    const before = { revision: model.revision };
    const outcome = rig.apply(write(one.operations.map(realOperation)))[0];
    checkOutcome(outcome, one.operations, { model, before: before.revision });
    return undefined;
  }

  /** Runs the model along, operation by operation, since each one sees those before it. */
  function checkOutcome(
    outcome: Outcome | undefined,
    operations: ModelOperation[],
    { model, before }: { model: Model; before: number },
  ): void {
    const shadow = new Model();
    for (const [name, versions] of model.versions) shadow.versions.set(name, [...versions]);
    for (const [position, one] of operations.entries()) {
      const real = outcome?.transaction?.operations[position];
      if (one.kind === 'put')
        expect(plain(real?.put?.previous)).toEqual(pair(one.key, shadow.at(one.key, before + 1)));
      else {
        const items = shadow.range(one, before + 1).map(([name, version]) => pair(name, version));
        if (one.kind === 'range') expect(real?.range?.items.map(plain)).toEqual(items);
        else {
          expect(real?.delete?.previous.map(plain)).toEqual(items);
          expect(real?.delete?.deleted).toBe(items.length);
        }
      }
      shadow.revision = before;
      shadow.run([one]);
    }
    model.run(operations);
    expect(outcome?.transaction?.revision).toBe(model.revision);
  }

  function pair(name: string, version: ModelVersion | undefined) {
    return version === undefined ? undefined : [name, version];
  }

  function checkAll({ rig, model }: { rig: StoreRig; model: Model }): void {
    const all = { start: '', end: '', limit: 0, keysOnly: false, countOnly: false };
    expect(rig.store.revision).toBe(model.revision);
    expect(rig.store.compactedRevision).toBe(model.compacted);
    for (let revision = model.compacted; revision <= model.revision; revision += 1) {
      const expected = model.range(all, revision === 0 ? model.revision : revision);
      const real = rig.store.range({ ...all, revision });
      expect(real.items.map(plain)).toEqual(expected);
      expect(real.count).toBe(expected.length);
    }
    for (const name of KEYS) {
      expect(plain(rig.store.get(name))).toEqual(pair(name, model.at(name, model.revision)));
      const kept = (model.versions.get(name) ?? []).filter(
        (version) => version.revision > model.compacted || version === model.at(name, model.compacted),
      );
      const history = rig.store.history({ key: name, limit: 0, keysOnly: false });
      expect(history.versions.map(({ item, deleted }) => [item.modRevision, deleted])).toEqual(
        kept.map((version) => [version.revision, version.value === null]).reverse(),
      );
    }
    if (model.compacted > 1) expect(() => rig.store.get('a', model.compacted - 1)).toThrow(/no longer kept/);
    expect(() => rig.store.get('a', model.revision + 1)).toThrow(/does not exist yet/);
    expect(LIMITS.pageKeysMax).toBeGreaterThan(KEYS.length);
  }
});
