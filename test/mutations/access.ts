import type { Mutation } from './mutation.ts';

const DECIDE = 'test/access/policy/decide.test.ts';
const STORE_ACCESS = 'test/store/access.test.ts';
const TOKENS = 'test/node/accessTokens.test.ts';
const MATRIX = 'test/node/permissionMatrix.test.ts';
const AUTHORISATION = 'test/node/authorisation.test.ts';
const CALLER = 'test/api/caller.test.ts';

/** Who may do what, and see what. */
export const ACCESS: readonly Mutation[] = [
  {
    name: 'a command is applied that its principal may not have applied',
    protects: 'I51',
    file: 'src/store/state.ts',
    find: '    requireAllowed(decide(asker, body));\n',
    replace: '    decide(asker, body);\n',
    noticedBy: [STORE_ACCESS],
  },
  {
    name: 'a token is good after its end',
    protects: 'I51',
    file: 'src/store/access.ts',
    find: '(token.expiresMs === 0 || timeMs < token.expiresMs)',
    replace: '(token.expiresMs === 0 || timeMs <= token.expiresMs)',
    noticedBy: [STORE_ACCESS],
  },
  {
    name: 'a role is granted by who does not have it',
    protects: 'I51',
    file: 'src/store/access.ts',
    find: '    for (const role of roles) requireGrantable(change.rights, this.#parsed(role));',
    replace: '    for (const role of roles) this.#parsed(role);',
    noticedBy: [STORE_ACCESS],
  },
  {
    name: 'a denial is taken away by who has not what it denied',
    protects: 'I51',
    file: 'src/store/access.ts',
    find: '    for (const other of others) requireGrantable(change.rights, this.#parsed(other));\n',
    replace: '    for (const other of others) this.#parsed(other);\n',
    noticedBy: [STORE_ACCESS],
  },
  {
    name: 'a policy goes while a token has its role',
    protects: 'I50',
    file: 'src/store/access.ts',
    find: '    if (users > 0) {',
    replace: '    if (users > 1) {',
    noticedBy: [STORE_ACCESS],
  },
  {
    name: 'what somebody may do is what it was',
    protects: 'I51',
    file: 'src/store/access.ts',
    find: '    this.#policies.set(role, { row, policy: kept, parsed });\n    this.#rights.clear();',
    replace: '    this.#policies.set(role, { row, policy: kept, parsed });',
    noticedBy: [STORE_ACCESS],
  },
  {
    name: 'a secret value is compared for who may not see it',
    protects: 'names',
    file: 'src/access/policy/decideTransaction.ts',
    find: 'return rights.allowsValue(name) ? null : VALUE;\n  return rights.allows',
    replace: "return rights.allows('list', name) ? null : VALUE;\n  return rights.allows",
    noticedBy: [DECIDE],
  },
  {
    name: 'a range of secret values is read without reveal',
    protects: 'names',
    file: 'src/access/policy/rights.ts',
    find: "(!holdsSecretNames(range) || this.allowsAll('reveal', range))",
    replace: '(!holdsSecretNames(range) || true)',
    noticedBy: [DECIDE],
  },
  {
    name: 'only the branch that is expected is decided',
    protects: 'names',
    file: 'src/access/policy/decideTransaction.ts',
    find: "of ['success', 'failure'] as const",
    replace: "of ['success'] as const",
    noticedBy: [DECIDE],
  },
  {
    name: 'a list counts what may not be seen',
    protects: 'names',
    file: 'src/store/reads.ts',
    find: 'version === undefined || this.#query.visible?.(entry.key) === false',
    replace: 'version === undefined',
    noticedBy: [TOKENS],
  },
  {
    name: 'a watch tells what may not be seen',
    protects: 'names',
    file: 'src/store/watch.ts',
    find: 'visible ? versions.filter(({ entry }) => visible(entry.key)) : versions',
    replace: 'versions',
    noticedBy: [TOKENS],
  },
  {
    name: 'a token that was made elsewhere is refused at once',
    protects: 'access',
    file: 'src/node/authorisation.ts',
    find: '    if (shown !== null && !isGood()) await this.#read.linearizable(deadlineMs);\n',
    replace: '',
    noticedBy: [AUTHORISATION],
  },
  {
    name: 'a command that was allowed elsewhere is refused at once',
    protects: 'access',
    file: 'src/node/authorisation.ts',
    find: '    await this.#read.linearizable(caller.deadlineMs);\n    this.#recorded',
    replace: '    this.#recorded',
    noticedBy: [AUTHORISATION],
  },
  {
    name: 'a name is read by whoever asks',
    protects: 'names',
    file: 'src/node/authorisation.ts',
    find: 'return rights.allowsValue(name) ? ALLOWED : denied(',
    replace: 'return rights !== null ? ALLOWED : denied(',
    noticedBy: [TOKENS, MATRIX],
  },
  {
    name: 'a method is let in without its rule',
    protects: 'access',
    file: 'src/api/letIn.ts',
    find: '    await access.requireArea(caller, rule);\n',
    replace: '',
    noticedBy: [MATRIX],
  },
  {
    name: 'a certificate counts beside a token',
    protects: 'access',
    file: 'src/api/caller.ts',
    find: '    if (authorization === undefined) return this.certified(call);',
    replace:
      '    if (authorization === undefined || call.getAuthContext().sslPeerCertificate) return this.certified(call);',
    noticedBy: [CALLER],
  },
];
