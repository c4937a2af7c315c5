import { readFileSync } from 'node:fs';
import path from 'node:path';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { messageFields, PROTO_FOLDER } from '../../src/proto/registry.ts';
import { closingBracket, codeOnly } from '../tidy/sourceText.ts';
import { ROOT } from '../tidy/sourceTree.ts';

/** The files of hand-kept shapes, and the package that each one's interfaces are messages of. */
const SHAPE_FILES = {
  'src/proto/storage.ts': 'holdfast.storage.v1',
  'src/proto/users.ts': 'holdfast.storage.v1',
  'src/proto/peer.ts': 'holdfast.peer.v1',
  'src/proto/kv.ts': 'holdfast.v1',
  'src/proto/cluster.ts': 'holdfast.v1',
} as const;

/** Where a shape has another name than its message: two packages have one of the same name, or Node does. */
const MESSAGE_NAMES: Readonly<Record<string, string>> = {
  StoredConfiguration: 'Configuration',
  StoredAnswer: 'Answer',
  WatchEvent: 'Event',
  ApiFailure: 'Failure',
};

/** Shapes that stand for several messages of the same fields. */
const SHARED_SHAPES: Readonly<Record<string, readonly string[]>> = {
  RotationStep: ['holdfast.storage.v1.SwitchAuthority', 'holdfast.storage.v1.FinishAuthorityRotation'],
  MemberRequest: [
    'holdfast.v1.PromoteMemberRequest',
    'holdfast.v1.DemoteMemberRequest',
    'holdfast.v1.TransferLeadershipRequest',
  ],
};

/** Messages of fields that clients and the store share, field for field. */
const SAME_IN_BOTH = [
  'RequestId',
  'KeyRange',
  'KeyValue',
  'Compare',
  'Operation',
  'PutOperation',
  'DeleteOperation',
  'RangeOperation',
  'OperationOutcome',
  'PutOutcome',
  'DeleteOutcome',
  'RangeOutcome',
];

const schema = new protobuf.Root();
schema.resolvePath = (_origin, target) => path.join(PROTO_FOLDER, target);
schema.loadSync([
  'holdfast/storage/v1/command.proto',
  'holdfast/storage/v1/row.proto',
  'holdfast/peer/v1/peer.proto',
  'holdfast/v1/kv.proto',
  'holdfast/v1/cluster.proto',
]);
schema.resolveAll();

interface Shape {
  readonly name: string;
  readonly messages: readonly string[];
  /** TypeScript type by field. */
  readonly fields: ReadonlyMap<string, string>;
}

function fieldsOf(body: string): ReadonlyMap<string, string> {
  const members = body.matchAll(/readonly (\w+)\??: ((?:[^;{]|\{[^}]*\})+);/g);
  return new Map([...members].map(([, name = '', type = '']) => [name, type]));
}

function shapesOf(file: string, packageName: string): readonly Shape[] {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const code = codeOnly(text);
  const shapes: Shape[] = [];
  for (const match of code.matchAll(/export interface (\w+)(?: extends (\w+))? \{/g)) {
    const [whole, name = '', base] = match;
    const start = match.index + whole.length - 1;
    const own = fieldsOf(code.slice(start + 1, closingBracket(code, start)));
    const inherited = shapes.find((shape) => shape.name === base)?.fields ?? new Map<string, string>();
    const messages = SHARED_SHAPES[name] ?? [`${packageName}.${MESSAGE_NAMES[name] ?? name}`];
    shapes.push({ name, messages, fields: new Map([...inherited, ...own]) });
  }
  return shapes;
}

const shapes = Object.entries(SHAPE_FILES).flatMap(([file, packageName]) => shapesOf(file, packageName));
const pairs = shapes.flatMap((shape) => shape.messages.map((message) => ({ shape, message })));

const SCALARS: Readonly<Record<string, RegExp>> = {
  string: /^string$/,
  bytes: /^Uint8Array$/,
  bool: /^boolean$/,
  uint32: /^number$/,
  uint64: /^number$/,
};

/** How a field of this kind is to be typed by hand. */
function expectedType(field: protobuf.Field): RegExp {
  if (field.repeated) return /^readonly .*\[\]$/;
  if (field.resolvedType instanceof protobuf.Enum) return /^number$/;
  return SCALARS[field.type] ?? /\| Unset$/;
}

describe('hand-kept shapes', () => {
  it('are found', () => {
    expect(shapes.length).toBeGreaterThan(60);
  });

  it.each(pairs)('$shape.name has the fields of $message', ({ shape, message }) => {
    expect([...shape.fields.keys()].toSorted()).toEqual([...messageFields(message)].toSorted());
  });

  it.each(pairs)('$shape.name has the types of $message', ({ shape, message }) => {
    const wrong = schema
      .lookupType(message)
      .fieldsArray.filter((field) => !expectedType(field).test(shape.fields.get(field.name) ?? ''))
      .map(
        (field) =>
          `${field.name}: ${shape.fields.get(field.name)}, but ${field.repeated ? 'repeated ' : ''}${field.type}`,
      );
    expect(wrong).toEqual([]);
  });
});

describe('what clients and the store share', () => {
  const wireForm = (type: string): readonly string[] =>
    schema
      .lookupType(type)
      .fieldsArray.map(({ name, id, type: kind, repeated }) => `${id} ${name} ${kind} ${repeated}`);

  it.each(SAME_IN_BOTH)('%s is the same message in both packages', (name) => {
    expect(wireForm(`holdfast.v1.${name}`)).toEqual(wireForm(`holdfast.storage.v1.${name}`));
  });
});
