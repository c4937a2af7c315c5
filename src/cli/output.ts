import { once } from 'node:events';
import type { Writable } from 'node:stream';
import Table from 'cli-table3';
import pc from 'picocolors';
import { type HoldfastError, toHoldfastError } from '../base/errors.ts';
import { printableJson } from '../base/printable.ts';

export type OutputFormat = 'table' | 'json';

/** Where a command writes. Results go to stdout, everything else to stderr. */
export interface Streams {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
}

export type OutputStream = Writable & { readonly isTTY?: boolean };

/** One command's output: the same data as a table for people or as JSON for programs. */
export class Output {
  readonly format: OutputFormat;
  readonly #streams: Streams;
  readonly #colors: ReturnType<typeof pc.createColors>;

  constructor({ format, streams, colors }: { format: OutputFormat; streams: Streams; colors: boolean }) {
    this.format = format;
    this.#streams = streams;
    this.#colors = pc.createColors(colors);
  }

  /** One JSON object, or the text lines for people. */
  result(object: object, lines: readonly string[]): void {
    if (this.format === 'json') this.line(printableJson(object));
    else for (const line of lines) this.line(line);
  }

  /** One JSON object, or a table. */
  table(
    object: object,
    { head, rows }: { head: readonly string[]; rows: readonly (readonly string[])[] },
  ): void {
    if (this.format === 'json') {
      this.line(printableJson(object));
      return;
    }
    const table = new Table({
      head: head.map((title) => this.#colors.bold(title)),
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
      chars: PLAIN,
    });
    for (const row of rows) table.push([...row]);
    this.line(table.toString());
  }

  /** One JSON line of a stream, or one line of text. */
  item(object: object, line: string): void {
    this.line(this.format === 'json' ? printableJson(object) : line);
  }

  /** One line on stdout. */
  line(text: string): void {
    this.#streams.stdout.write(`${text}\n`);
  }

  /** Bytes to stdout exactly as they are; a terminal gets a line end after them. */
  raw(bytes: Uint8Array): void {
    this.#streams.stdout.write(bytes);
    if (this.#streams.stdout.isTTY === true && bytes.at(-1) !== LINE_END) this.#streams.stdout.write('\n');
  }

  /** A piece of one JSON object that is too long to be held whole. */
  piece(text: string): void {
    this.#streams.stdout.write(text);
  }

  /** Waits while the reader of stdout is behind: before more of something that may be long. */
  async drained(): Promise<void> {
    if (this.#streams.stdout.writableNeedDrain) await once(this.#streams.stdout, 'drain');
  }

  /** A remark for people on stderr; nothing in JSON mode. */
  note(text: string): void {
    if (this.format === 'table') this.#streams.stderr.write(`${text}\n`);
  }

  /** Progress on stderr, only when that is a terminal. */
  progress(text: string): void {
    if (this.#streams.stderr.isTTY === true) this.#streams.stderr.write(`\r\u001b[2K${text}`);
  }

  progressDone(): void {
    if (this.#streams.stderr.isTTY === true) this.#streams.stderr.write('\r\u001b[2K');
  }

  good(text: string): string {
    return this.#colors.green(text);
  }

  bad(text: string): string {
    return this.#colors.red(text);
  }

  warn(text: string): string {
    return this.#colors.yellow(text);
  }

  /** An error: one sentence with its code and what to do, or the JSON form. */
  error(thrown: unknown): void {
    const error = toHoldfastError(thrown);
    if (this.format === 'json') {
      const { code, message, hint, field } = error;
      this.#streams.stderr.write(
        `${printableJson({ error: { code, message, hint: hint ?? '', field: field ?? '' } })}\n`,
      );
      return;
    }
    this.#streams.stderr.write(`${this.#colors.red('error')}: ${describe(error)}\n`);
    if (error.hint !== undefined) this.#streams.stderr.write(`hint: ${error.hint}\n`);
  }
}

const LINE_END = 0x0a;

function describe(error: HoldfastError): string {
  return `${error.message} (${error.code})`;
}

const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const;
