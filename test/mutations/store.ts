import type { Mutation } from './mutation.ts';

/** The state machine. */
export const STORE: readonly Mutation[] = [
  {
    name: 'the log is released before the state is durable',
    protects: 'I13',
    file: 'src/store/store.ts',
    find: 'get durableHead(): HeadRow {\n    return this.#generation.writer.head;',
    replace: 'get durableHead(): HeadRow {\n    return this.#generation.state.head();',
    noticedBy: ['simulation'],
  },
  {
    name: 'a deleted row stays on the disk',
    protects: 'I27',
    file: 'src/store/writer.ts',
    find: 'else writes.del(rowKey(row));',
    replace: '',
    noticedBy: ['simulation', 'test/store/writer.test.ts'],
  },
  {
    name: 'a repeated request is executed again',
    protects: 'I32',
    file: 'src/store/state.ts',
    find: "if (verdict.kind === 'replay') return verdict.outcome;",
    replace: '',
    noticedBy: ['simulation', 'test/store/requests.test.ts'],
  },
  {
    name: 'log time runs backwards',
    protects: 'I34',
    file: 'src/store/state.ts',
    find: 'this.#timeMs = Math.max(this.#timeMs, timeMs);',
    replace: 'this.#timeMs = timeMs;',
    noticedBy: ['simulation', 'test/store/determinism.test.ts'],
  },
  {
    name: 'apply draws a number',
    protects: 'I34',
    file: 'src/store/clients.ts',
    find: 'const clientId = index * CLIENT_IDS_PER_ENTRY + sub;',
    replace: 'const clientId = index * CLIENT_IDS_PER_ENTRY + sub + Math.floor(Math.random() * 2);',
    noticedBy: ['simulation', 'test/store/determinism.test.ts'],
  },
];
