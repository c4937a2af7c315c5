import { describe, expect, it } from 'vitest';
import { codeOnly, functionsOf, importsOf } from './sourceText.ts';

describe('codeOnly', () => {
  it.each([
    ["const a = 'Date.now()'; b", /^const a =\s+; b$/],
    ['a; // Date.now()\nb', /^a;\s+\nb$/],
    ['a /* {\n{ */ b', /^a\s+\n\s+b$/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of a template
    ['`x ${ f({ a: `y${b}` }) } z{`; c', /^\s+\{ f\(\{ a:\s+\{b\}\s+\}\) \}\s+; c$/],
    ['const r = /[/{]"/.test(s) / 2; t', /^const r =\s+\.test\(s\) \/ 2; t$/],
    ["'it\\'s {'; a", /^\s+; a$/],
  ])('%s', (text, expected) => {
    const code = codeOnly(text);
    expect(code).toMatch(expected);
    expect(code).toHaveLength(text.length);
  });
});

describe('functionsOf', () => {
  const named = (text: string): string[] =>
    functionsOf(codeOnly(text)).map(({ name, lines }) => `${name} ${lines}`);

  it.each([
    ['function a() {\n}\n', ['a 2']],
    ['export async function a<T extends object>(b: { c: T }): Promise<{ d: T }> {\n\n}', ['a 3']],
    ['function a(): { b: number } {\n return c;\n}', ['a 3']],
    ['function a(): readonly string[] | undefined {\n}', ['a 2']],
    ['const a = (b: string): void => {\n};', ['a 2']],
    ['const a = async () => {\n};', ['a 2']],
    ['class A {\n  #b(c: number): void {\n  }\n  get d(): number {\n    return 1;\n  }\n}', ['#b 2', 'd 3']],
    ['list.forEach((a) => {\n});', ['(anonymous) 2']],
    ['if (a) {\n}\nfor (const b of c()) {\n}\nwhile (d) {\n}\n', []],
    ['try {\n} catch (e) {\n}', []],
    ['const a = b(c) ? { d: 1 } : { e: 2 };\n', []],
    ['interface A {\n  b(c: string): void;\n}', []],
  ])('%s', (text, expected) => {
    expect(named(text)).toEqual(expected);
  });
});

describe('importsOf', () => {
  it('finds every form, and none in a comment or a string', () => {
    const text = [
      "import a from 'a';",
      "import type { b } from './b.ts';",
      "import {\n  c,\n} from '../c.ts';",
      "import 'd';",
      "export { e } from 'e';",
      "const f = await import('f');",
      "// import g from 'g';",
      'const h = "from \'h\'";',
    ].join('\n');
    expect(importsOf(text).toSorted()).toEqual(['../c.ts', './b.ts', 'a', 'd', 'e', 'f']);
  });
});
