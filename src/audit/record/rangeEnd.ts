const WITHOUT_END = 0xff;

/** Of a range of names without an end. No name begins with two of these and goes on for ever. */
export const NO_RANGE_END = Buffer.alloc(1, WITHOUT_END);

export function isWithoutEnd(resourceEnd: Uint8Array): boolean {
  return resourceEnd.length === 1 && resourceEnd[0] === WITHOUT_END;
}
