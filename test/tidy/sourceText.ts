/** Reading TypeScript as text: the pinned compiler has no API to ask. */

/** What a `/` after this begins: a regular expression, not a division. */
const BEFORE_REGULAR_EXPRESSION = /(?:^|[=([{,;:!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|void))\s*$/;

const asSpaces = (text: string): string => text.replace(/[^\n]/g, ' ');

function endOfQuoted(text: string, start: number): number {
  const quote = text[start];
  let at = start + 1;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function endOfRegularExpression(text: string, start: number): number {
  let inClass = false;
  let at = start + 1;
  for (; at < text.length && text[at] !== '\n'; at += 1) {
    const letter = text[at];
    if (letter === '\\') at += 1;
    else if (letter === '[') inClass = true;
    else if (letter === ']') inClass = false;
    else if (letter === '/' && !inClass) break;
  }
  return at + 1;
}

/** The end of a piece of template text: behind the closing back quote, or on the `{` of a `${`. */
function endOfTemplateText(text: string, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== '`' && !(text[at] === '$' && text[at + 1] === '{')) {
    at += text[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}

/**
 * The text with everything that is no code turned to spaces: comments, and the inside of strings, templates and
 * regular expressions. Lines and columns stay where they were.
 */
export function codeOnly(text: string): string {
  let code = '';
  let at = 0;
  const templateDepths: number[] = [];
  let depth = 0;
  const blankUpTo = (end: number): void => {
    code += asSpaces(text.slice(at, end));
    at = end;
  };
  const templateText = (): void => {
    blankUpTo(endOfTemplateText(text, at));
    if (text[at - 1] === '$') templateDepths.push(depth);
  };
  while (at < text.length) {
    const letter = text[at];
    const pair = text.slice(at, at + 2);
    if (pair === '//') blankUpTo(`${text}\n`.indexOf('\n', at));
    else if (pair === '/*') blankUpTo(text.indexOf('*/', at) + 2);
    else if (letter === "'" || letter === '"') blankUpTo(endOfQuoted(text, at));
    else if (letter === '/' && BEFORE_REGULAR_EXPRESSION.test(code.slice(-40))) {
      blankUpTo(endOfRegularExpression(text, at));
    } else if (letter === '`') {
      blankUpTo(at + 1);
      templateText();
    } else if (letter === '}' && templateDepths.at(-1) === depth - 1) {
      templateDepths.pop();
      depth -= 1;
      code += '}';
      at += 1;
      templateText();
    } else {
      if (letter === '{') depth += 1;
      if (letter === '}') depth -= 1;
      code += letter;
      at += 1;
    }
  }
  return code;
}

export const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

const CLOSING = new Map([
  ['(', ')'],
  ['{', '}'],
  ['[', ']'],
]);

/** The offset of the bracket that closes the one at `start`, or the end of the code. */
export function closingBracket(code: string, start: number): number {
  const opening = code[start] ?? '';
  const closing = CLOSING.get(opening);
  let depth = 0;
  for (let at = start; at < code.length; at += 1) {
    if (code[at] === opening) depth += 1;
    if (code[at] === closing) depth -= 1;
    if (depth === 0) return at;
  }
  return code.length;
}

export interface FunctionText {
  /** As far as text can tell; `(anonymous)` for a function without one. */
  readonly name: string;
  readonly line: number;
  /** From the line of the name to the line of the closing brace. */
  readonly lines: number;
  readonly body: string;
}

const NO_FUNCTION = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await', 'return']);

/** Where the body of a function begins, its parameter list ending just before `afterParameters`. */
function bodyStart(code: string, afterParameters: number): number | undefined {
  let depth = 0;
  let typeMayBegin = false;
  for (let at = afterParameters; at < code.length; at += 1) {
    const letter = code[at] ?? '';
    if (/\s/.test(letter)) continue;
    if (at === afterParameters && !/[:={]/.test(letter)) return undefined;
    if (code.startsWith('=>', at)) {
      const next = /\S/.exec(code.slice(at + 2));
      const nextAt = at + 2 + (next?.index ?? 0);
      if (depth === 0) return code[nextAt] === '{' ? nextAt : undefined;
      at += 1;
    } else if (letter === '{' && depth === 0 && !typeMayBegin) return at;
    else if (CLOSING.has(letter)) at = closingBracket(code, at);
    else if (letter === '<') depth += 1;
    else if (letter === '>') depth -= 1;
    else if (depth === 0 && /[;,)\]}?]/.test(letter)) return undefined;
    typeMayBegin = /[:|&]/.test(letter);
  }
  return undefined;
}

/** Every function, method and arrow function with a body in braces (and types such as `(a) => { b }`: text cannot tell). */
export function functionsOf(code: string): readonly FunctionText[] {
  const found: FunctionText[] = [];
  for (let open = code.indexOf('('); open >= 0; open = code.indexOf('(', open + 1)) {
    const before = code.slice(Math.max(0, open - 200), open);
    const word = /([\w$#]+)\s*(?:<[^()]*>)?\s*$/.exec(before)?.[1] ?? '';
    if (NO_FUNCTION.has(word)) continue;
    const after = closingBracket(code, open) + 1;
    const body = bodyStart(code, after + (/^\s*/.exec(code.slice(after, after + 200))?.[0].length ?? 0));
    if (body === undefined) continue;
    const assigned = /([\w$#]+)\s*(?::[^=;]*)?[=:]\s*(?:async\s*)?(?:<[^()]*>)?\s*$/.exec(before)?.[1];
    const end = closingBracket(code, body);
    const line = lineOf(code, open);
    const own = word === 'async' || word === '' ? assigned : word;
    found.push({
      name: own ?? '(anonymous)',
      line,
      lines: lineOf(code, end) - line + 1,
      body: code.slice(body, end),
    });
  }
  return found;
}

/** The module names that a file imports or re-exports, and those of `import()`. */
export function importsOf(text: string): readonly string[] {
  const code = codeOnly(text);
  const patterns = [/\bfrom\s/g, /^import\s/gm, /\bimport\(/g];
  const names = new Set<string>();
  for (const pattern of patterns) {
    for (const match of code.matchAll(pattern)) {
      const rest = text.slice((match.index ?? 0) + match[0].length);
      const name = /^\s*(['"])([^'"\n]+)\1/.exec(rest)?.[2];
      if (name !== undefined) names.add(name);
    }
  }
  return [...names];
}
