const encoder = new TextEncoder();

/** The beginning of a text that has at most so many bytes in UTF-8; no character is cut through. */
export function textWithin(text: string, bytesMax: number): string {
  // At most three bytes of UTF-8 for a UTF-16 unit.
  if (text.length * 3 <= bytesMax) return text;
  return text.slice(0, encoder.encodeInto(text, Buffer.alloc(bytesMax)).read);
}
