/** Text with what could steer a terminal written out: what others have said or stored must not speak for this program. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

/** What JSON may have as it is, and a terminal may take for more than text: DEL, C1, the ends of lines, the direction of text. */
const NOT_ESCAPED = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** JSON that can be shown on a terminal as it is, and that still says the same. */
export function printableJson(value: object): string {
  return JSON.stringify(value).replace(
    NOT_ESCAPED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
