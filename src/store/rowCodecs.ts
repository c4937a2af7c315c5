import { asBuffer } from '../base/bytes.ts';
import type { SealedCodec } from '../envelope/codec.ts';
import type { Purpose } from '../envelope/format.ts';
import { auditRowCodec, auditSettingsRowCodec } from '../proto/audit.ts';
import type { Codec } from '../proto/registry.ts';
import {
  answersRowCodec,
  authorityRowCodec,
  clientRowCodec,
  headRowCodec,
  keyChangeRowCodec,
  memberRowCodec,
  recordRowCodec,
  removedRowCodec,
  tokenRowCodec,
} from '../proto/storage.ts';
import { accessTokenRowCodec, adminResetsRowCodec, policyRowCodec, userRowCodec } from '../proto/users.ts';
import { fromReadableJson, readableJson } from './readableJson.ts';
import type { Table } from './row.ts';

/** How the rows of a table are sealed. */
export interface TableSealing {
  readonly purpose: Purpose;
  /** Takes and gives plaintext; readable JSON in between when the toggle is off. */
  readonly codec: SealedCodec<Buffer>;
}

function sealing<T extends object>(codec: Codec<T>, purpose: Purpose = 'record'): TableSealing {
  return {
    purpose,
    codec: {
      encode: (plaintext) => plaintext,
      decode: asBuffer,
      toJson: (plaintext) => readableJson(codec.decode(plaintext)),
      fromJson: (json) => codec.encode(fromReadableJson(json) as T),
    },
  };
}

export const TABLE_SEALING: Readonly<Record<Table, TableSealing>> = {
  a: sealing(answersRowCodec),
  b: sealing(accessTokenRowCodec),
  c: sealing(clientRowCodec),
  d: sealing(adminResetsRowCodec),
  e: sealing(auditSettingsRowCodec, 'trust'),
  h: sealing(headRowCodec),
  k: sealing(recordRowCodec),
  l: sealing(auditRowCodec, 'audit'),
  m: sealing(memberRowCodec),
  p: sealing(policyRowCodec),
  r: sealing(keyChangeRowCodec),
  s: sealing(authorityRowCodec, 'trust'),
  t: sealing(tokenRowCodec),
  u: sealing(userRowCodec, 'trust'),
  x: sealing(removedRowCodec),
};
