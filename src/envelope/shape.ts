/** What strictly parsed JSON does not have. The message names the field, never what stands in it. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

/** Parses JSON bytes. @throws ShapeError, without the text that JSON.parse would quote */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new ShapeError('it is not JSON');
  }
}

/** The fields of an object that has exactly these, in any order. */
export function exactObject<Field extends string>(
  json: unknown,
  fields: readonly Field[],
): Readonly<Record<Field, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ShapeError(`an object with the fields ${fields.join(', ')} is expected`);
  }
  const missing = fields.find((field) => !Object.hasOwn(json, field));
  if (missing !== undefined) throw new ShapeError(`the field ${missing} is missing`);
  if (Object.keys(json).length !== fields.length) {
    throw new ShapeError(`there are fields besides ${fields.join(', ')}`);
  }
  return json as Record<Field, unknown>;
}

export function listField(json: unknown, { field, max }: { field: string; max: number }): readonly unknown[] {
  if (!Array.isArray(json)) throw new ShapeError(`${field} must be a list`);
  if (json.length > max) throw new ShapeError(`${field} has ${json.length} items, over the limit of ${max}`);
  return json;
}

/** A safe integer >= 0. */
export function countField(json: unknown, field: string): number {
  if (typeof json !== 'number' || !Number.isSafeInteger(json) || json < 0) {
    throw new ShapeError(`${field} must be a whole number from 0 to 2^53 - 1`);
  }
  return json;
}

export function textField(json: unknown, { field, pattern }: { field: string; pattern: RegExp }): string {
  if (typeof json !== 'string' || !pattern.test(json)) throw new ShapeError(`${field} is not well formed`);
  return json;
}

export function choiceField<Choice extends string>(
  json: unknown,
  { field, choices }: { field: string; choices: readonly Choice[] },
): Choice {
  const choice = choices.find((known) => known === json);
  if (choice === undefined) throw new ShapeError(`${field} must be one of ${choices.join(', ')}`);
  return choice;
}

const TIME_PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

/** An RFC 3339 time in UTC, as written. */
export function timeField(json: unknown, field: string): string {
  const text = textField(json, { field, pattern: TIME_PATTERN });
  if (Number.isNaN(Date.parse(text))) throw new ShapeError(`${field} is no time`);
  return text;
}
