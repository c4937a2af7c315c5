import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { HoldfastError } from '../base/errors.ts';

/** Where the .proto files lie, in the checkout and in the installed package alike. */
export const PROTO_FOLDER = fileURLToPath(new URL('../../proto', import.meta.url));

const FILES = [
  'holdfast/storage/v1/command.proto',
  'holdfast/storage/v1/row.proto',
  'holdfast/storage/v1/audit.proto',
  'holdfast/peer/v1/peer.proto',
  'holdfast/v1/kv.proto',
  'holdfast/v1/cluster.proto',
  'holdfast/v1/access.proto',
  'holdfast/v1/audit.proto',
];

/** 64-bit integers are JavaScript numbers here; codecs refuse what is beyond 2^53 - 1. */
function numbersForLongs(): void {
  // protobufjs has no typed way to say "no Long"; with null its readers and writers use numbers.
  (protobuf.util as unknown as { Long: unknown }).Long = null;
  protobuf.configure();
}

function loadRoot(): protobuf.Root {
  numbersForLongs();
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => `${PROTO_FOLDER}/${target}`;
  root.loadSync(FILES);
  root.resolveAll();
  return root;
}

const root = loadRoot();

export interface Codec<T> {
  /** A message whose fields that are not given hold their defaults, and take no bytes. */
  readonly create: (fields: Partial<T>) => T;
  readonly encode: (value: T) => Buffer;
  /**
   * Bytes fields are views on `bytes`: copy what outlives it.
   * @throws HoldfastError INVALID_ARGUMENT when the bytes are not this message or hold an integer beyond 2^53 - 1
   */
  readonly decode: (bytes: Uint8Array) => T;
}

/** The codec of one message. `T` is the hand-kept shape beside it; a test holds the two against each other. */
export function codec<T extends object>(typeName: string): Codec<T> {
  const type = root.lookupType(typeName);
  return {
    create: (fields) => type.create(fields) as unknown as T,
    encode: (value) => type.encode(value).finish() as Buffer,
    decode: (bytes) => {
      try {
        return type.decode(bytes) as unknown as T;
      } catch (cause) {
        throw new HoldfastError('INVALID_ARGUMENT', `not a ${typeName} message`, { cause });
      }
    },
  };
}

/** One method of a service, in the shape that gRPC implementations take. */
export interface MethodDefinition<Request, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (value: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
  readonly originalName: string;
}

/** All methods of a service by their lower-camel names. */
export function serviceDefinition(serviceName: string): Record<string, MethodDefinition<object, object>> {
  const service = root.lookupService(serviceName);
  const definition: Record<string, MethodDefinition<object, object>> = {};
  for (const method of service.methodsArray) {
    const request = codec<object>(method.resolvedRequestType?.fullName.slice(1) ?? '');
    const response = codec<object>(method.resolvedResponseType?.fullName.slice(1) ?? '');
    const originalName = method.name.charAt(0).toLowerCase() + method.name.slice(1);
    definition[originalName] = {
      path: `/${serviceName}/${method.name}`,
      requestStream: method.requestStream === true,
      responseStream: method.responseStream === true,
      requestSerialize: request.encode,
      requestDeserialize: request.decode,
      responseSerialize: response.encode,
      responseDeserialize: response.decode,
      originalName,
    };
  }
  return definition;
}

/** The fields of a message as protobuf sees them, for the test that holds hand-kept shapes against it. */
export function messageFields(typeName: string): readonly string[] {
  return root.lookupType(typeName).fieldsArray.map((field) => field.name);
}
