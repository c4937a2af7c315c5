/** What generic gRPC tools ask any server: is it well, and what does it speak. For clients of this cluster only. */
import { dirname } from 'node:path';
import type {
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, protoPath as healthProtoPath } from 'grpc-health-check';
import { present } from '../base/assert.ts';
import { PROTO_FOLDER } from '../proto/registry.ts';
import type { Callers, IncomingCall } from './caller.ts';
import { callerError, grpcStatus } from './status.ts';

/** '' is the server as a whole, by the health protocol. */
const HEALTH_SERVICES = ['', 'holdfast.v1.Kv', 'holdfast.v1.Cluster', 'holdfast.v1.Access'];

/** grpc.health.v1: SERVING only while the node says that it is ready. */
export class Health {
  readonly #implementation = new HealthImplementation();

  constructor() {
    this.setReady(false);
  }

  setReady(ready: boolean): void {
    for (const service of HEALTH_SERVICES) {
      this.#implementation.setStatus(service, ready ? 'SERVING' : 'NOT_SERVING');
    }
  }

  addTo(server: Server, callers: Callers): void {
    this.#implementation.addToServer(guarded(server, callers));
  }
}

/**
 * Adds grpc.reflection.v1 and v1alpha over the public .proto files. The first call makes what answers: that is a tenth
 * of the work of a start, and few ever ask.
 */
export function addReflection(server: Server, callers: Callers): void {
  let made: ReadonlyMap<string, ReadyMethod> | null = null;
  const ready = (path: string): ReadyMethod => {
    made ??= reflectionMethods();
    return present(made.get(path), path);
  };
  for (const version of ['v1', 'v1alpha']) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const definition: MethodDefinition<object, object> = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: (value) => ready(path).definition.requestSerialize(value),
      requestDeserialize: (bytes) => ready(path).definition.requestDeserialize(bytes),
      responseSerialize: (value) => ready(path).definition.responseSerialize(value),
      responseDeserialize: (bytes) => ready(path).definition.responseDeserialize(bytes),
    };
    const handler: AnyHandler = (call) => (ready(path).handler as unknown as AnyHandler)(call);
    guarded(server, callers).addService(
      { serverReflectionInfo: definition },
      { serverReflectionInfo: handler as unknown as UntypedHandleCall },
    );
  }
}

interface ReadyMethod {
  readonly definition: MethodDefinition<object, object>;
  readonly handler: UntypedHandleCall;
}

/** What the package would add to a server, by path. */
function reflectionMethods(): ReadonlyMap<string, ReadyMethod> {
  const definition = loadSync(
    [
      'holdfast/v1/kv.proto',
      'holdfast/v1/cluster.proto',
      'holdfast/v1/access.proto',
      'health/v1/health.proto',
    ],
    { includeDirs: [PROTO_FOLDER, dirname(dirname(dirname(healthProtoPath)))] },
  );
  const services = ['holdfast.v1.Kv', 'holdfast.v1.Cluster', 'holdfast.v1.Access', 'grpc.health.v1.Health'];
  const methods = new Map<string, ReadyMethod>();
  new ReflectionService(definition, { services }).addToServer({
    addService: (service: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      for (const [name, method] of Object.entries(service)) {
        const handler = implementation[name] ?? implementation[method.originalName ?? ''];
        if (handler !== undefined) methods.set(method.path, { definition: method, handler });
      }
    },
  });
  return methods;
}

/** The server as a ready-made service sees it: each of its methods first asks who calls. */
function guarded(server: Server, callers: Callers): Pick<Server, 'addService'> {
  return {
    addService: (service: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      const guardedMethods: UntypedServiceImplementation = {};
      for (const [name, handler] of Object.entries(implementation)) {
        guardedMethods[name] = guardedHandler(handler, callers);
      }
      server.addService(service, guardedMethods);
    },
  };
}

type AnyCall = IncomingCall & { emit(event: 'error', status: object): boolean };
type AnyHandler = (call: AnyCall, callback?: (status: object) => void) => void;

function guardedHandler(handler: UntypedHandleCall, callers: Callers): UntypedHandleCall {
  const run = handler as unknown as AnyHandler;
  const withCheck: AnyHandler = (call, callback) => {
    const begin = async (): Promise<void> => {
      try {
        await callers.identified(call, callers.deadlineMs(0));
      } catch (thrown) {
        const status = grpcStatus(callerError(thrown), null);
        if (callback) callback(status);
        else call.emit('error', status);
        return;
      }
      run(call, callback);
    };
    void begin();
  };
  return withCheck as unknown as UntypedHandleCall;
}
