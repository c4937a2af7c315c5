/** What can be done to a stream of bytes, as Toxiproxy's HTTP API names it. Times in ms, but `slicer.delay` in µs. */
export const TOXIC_ATTRIBUTES = {
  latency: ['latency', 'jitter'],
  bandwidth: ['rate'],
  slow_close: ['delay'],
  timeout: ['timeout'],
  slicer: ['average_size', 'size_variation', 'delay'],
  limit_data: ['bytes'],
  reset_peer: ['timeout'],
} as const;

export type ToxicType = keyof typeof TOXIC_ATTRIBUTES;
/** `upstream` is what the client sends to the server. */
export type Stream = 'upstream' | 'downstream';

export interface Toxic {
  readonly name: string;
  readonly type: ToxicType;
  readonly stream: Stream;
  /** Which share of the connections it is for, 0 to 1. */
  readonly toxicity: number;
  readonly attributes: Readonly<Record<string, number>>;
}

/** What the API answers instead of doing what was asked. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A toxic as a request spells it; what it leaves out is as in `before`, or as Toxiproxy's documentation says. */
export function parseToxic(body: unknown, before?: Toxic): Toxic {
  if (!isFields(body)) throw new ApiError(400, 'a toxic is a JSON object');
  const type = before?.type ?? toxicType(body['type']);
  const stream = before?.stream ?? streamOf(body['stream']);
  const name = before?.name ?? textOr(body['name'], `${type}_${stream}`);
  const toxicity = body['toxicity'] ?? before?.toxicity ?? 1;
  if (typeof toxicity !== 'number' || !(toxicity >= 0 && toxicity <= 1))
    throw new ApiError(400, 'toxicity is a number from 0 to 1');
  const given = body['attributes'] ?? {};
  if (!isFields(given)) throw new ApiError(400, 'attributes are a JSON object');
  const attributes: Record<string, number> = {};
  for (const attribute of TOXIC_ATTRIBUTES[type]) {
    const value = given[attribute] ?? before?.attributes[attribute] ?? 0;
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
      throw new ApiError(400, `${attribute} is a number that is not negative`);
    attributes[attribute] = value;
  }
  return { name, type, stream, toxicity, attributes };
}

function toxicType(value: unknown): ToxicType {
  if (typeof value === 'string' && Object.hasOwn(TOXIC_ATTRIBUTES, value)) return value as ToxicType;
  throw new ApiError(400, 'invalid toxic type');
}

function streamOf(value: unknown): Stream {
  if (value === undefined || value === '' || value === 'downstream') return 'downstream';
  if (value === 'upstream') return 'upstream';
  throw new ApiError(400, 'stream was invalid, can be either upstream or downstream');
}

export function textOr(value: unknown, fallback: string): string {
  return typeof value === 'string' && value !== '' ? value : fallback;
}
