/**
 * The lines of a recorded history: newline-delimited JSON, one record a line, told apart by `f`.
 *
 * All times are microseconds of one process's monotonic clock; no two times of a history are equal, so that "before"
 * is always decided. Revisions are the store's.
 */

/** One version of one key, as a client saw it. */
export interface Seen {
  readonly key: string;
  readonly value: string;
  /** 1 for the first version since the key came into being. */
  readonly version: number;
  /** Revision of this version. */
  readonly mod: number;
  /** Revision at which the key came into being. */
  readonly create: number;
}

/**
 *   ok    a definite answer (an unsuccessful comparison is one)
 *   fail  definitely not applied
 *   info  may have been applied, at any time from the call on, or never
 */
export type Status = 'ok' | 'fail' | 'info';

interface OperationBase {
  /** The logical client: one operation at a time, and none after an `info`. */
  readonly client: number;
  readonly call: number;
  /** Null: never came back before the recording ended. */
  readonly ret: number | null;
  /** Empty for what has more than one key; the prefix for a range. */
  readonly key: string;
  /** The revision in the answer; null unless `ok`. */
  readonly rev: number | null;
  readonly status: Status;
  /** The node that the client enters by, or "any". */
  readonly node: string;
  /** The error code, unless `ok`. */
  readonly error?: string;
}

export type ReadMode = 'linearizable' | 'serializable';

/** `b`: the revision to read as of, 0 for the newest. `out` is null unless `ok`, here and below. */
export interface GetLine extends OperationBase {
  readonly f: 'get';
  readonly a: ReadMode;
  readonly b: number;
  readonly out: { readonly item: Seen | null } | null;
}

/** Puts the value `a`, which no other operation of the history writes. */
export interface PutLine extends OperationBase {
  readonly f: 'put';
  readonly a: string;
  readonly b: null;
  readonly out: object | null;
}

export interface DeleteLine extends OperationBase {
  readonly f: 'delete';
  readonly a: null;
  readonly b: null;
  readonly out: { readonly deleted: boolean } | null;
}

/** Puts the value `b` where `a` holds: the key has this value, or this mod revision (0: it does not exist). */
export interface CasLine extends OperationBase {
  readonly f: 'cas';
  readonly a: CasExpectation;
  readonly b: string;
  readonly out: {
    readonly swapped: boolean;
    /** What was there instead. Absent: not told. */
    readonly item?: Seen | null;
  } | null;
}
export type CasExpectation = { readonly value: string } | { readonly mod: number };

/** All keys that begin with `key`, in one answer. */
export interface RangeLine extends OperationBase {
  readonly f: 'range';
  readonly a: ReadMode;
  readonly b: number;
  readonly out: { readonly items: readonly Seen[] } | null;
}

export interface TxnLine extends OperationBase {
  readonly f: 'txn';
  readonly a: TxnRequest;
  readonly b: null;
  readonly out: TxnAnswer | null;
}

export interface TxnRequest {
  readonly compares: readonly TxnCompare[];
  readonly success: readonly TxnStep[];
  readonly failure: readonly TxnStep[];
}

/** A key that does not exist has the numbers 0, and equals no value. */
export type TxnCompare = { readonly key: string; readonly relation: '=' | '!=' | '>' | '<' } & (
  | { readonly target: 'value'; readonly wanted: string }
  | { readonly target: 'version' | 'mod' | 'create'; readonly wanted: number }
);

export type TxnStep =
  | { readonly op: 'put'; readonly key: string; readonly value: string }
  | { readonly op: 'delete'; readonly key: string }
  | { readonly op: 'get'; readonly key: string }
  | { readonly op: 'range'; readonly prefix: string };

export interface TxnAnswer {
  readonly succeeded: boolean;
  /** One for each step of the branch that ran. */
  readonly results: readonly StepAnswer[];
}

export type StepAnswer =
  | { readonly op: 'put' }
  | { readonly op: 'delete'; readonly deleted: boolean }
  | { readonly op: 'get'; readonly item: Seen | null }
  | { readonly op: 'range'; readonly items: readonly Seen[] }
  /** A repeated request is answered without the values that it read. */
  | { readonly op: 'withheld' };

export type OperationLine = GetLine | PutLine | DeleteLine | CasLine | RangeLine | TxnLine;

/** A change of one key; of a delete, `value` is empty and `version` and `create` are 0. */
export interface KeyEvent extends Seen {
  readonly type: 'put' | 'delete';
  /** What was there before, null when nothing was; absent when it was not asked for. */
  readonly previous?: Seen | null;
}

interface WatchBase {
  readonly f: 'watch';
  /** Names the watch; all its lines have it. */
  readonly watch: number;
  readonly at: number;
}
export interface WatchOpenLine extends WatchBase {
  readonly kind: 'open';
  readonly node: string;
  readonly selector: WatchSelector;
  /** The first revision to tell; 0: from now on. */
  readonly from: number;
  readonly previous: boolean;
  readonly progress: boolean;
}
/** The watch tells what comes after `rev`. */
export interface WatchStartedLine extends WatchBase {
  readonly kind: 'started';
  readonly rev: number;
}
/** All up to `rev` is told. */
export interface WatchBatchLine extends WatchBase {
  readonly kind: 'batch';
  readonly rev: number;
  readonly events: readonly KeyEvent[];
}
export interface WatchEndLine extends WatchBase {
  readonly kind: 'end';
  /** Null: closed by us. */
  readonly error: string | null;
}
export type WatchSelector = { readonly key: string } | { readonly prefix: string };
export type WatchLine = WatchOpenLine | WatchStartedLine | WatchBatchLine | WatchEndLine;

/** One change as the cluster kept it, read back after the run. In order. */
export interface EventLine extends KeyEvent {
  readonly f: 'event';
}

/** The `event` lines hold every change after `after` up to `upTo` of the keys that begin with `prefix`. */
export interface LogLine {
  readonly f: 'log';
  readonly prefix: string;
  readonly after: number;
  readonly upTo: number;
}

/** The state digest of a node. */
export interface DigestLine {
  readonly f: 'digest';
  readonly node: string;
  readonly index: number;
  readonly rev: number;
  readonly digest: string;
}

/** A node applied request `number` of client id `clientId` as log entry `index` (dry runs and replays left out). */
export interface AppliedLine {
  readonly f: 'applied';
  readonly node: string;
  readonly clientId: number;
  readonly number: number;
  readonly index: number;
}

/**
 * What a workload promises of the keys under `prefix`:
 *   sum     from revision `since` on, the whole numbers that their values begin with ("95#c3-17" is 95) sum to `total`
 *   append  their values are lists, "a,b,c", of elements that are each appended once
 */
export type WorkloadLine = { readonly f: 'workload'; readonly prefix: string } & (
  | { readonly kind: 'sum'; readonly total: number; readonly since: number }
  | { readonly kind: 'append' }
);

/** For people: faults, phases. Not checked. */
export interface NoteLine {
  readonly f: 'note';
  readonly at: number;
  readonly text: string;
}

export type HistoryLine =
  | OperationLine
  | WatchLine
  | EventLine
  | LogLine
  | DigestLine
  | AppliedLine
  | WorkloadLine
  | NoteLine;

/** A whole recording, sorted out. */
export interface History {
  /** In the order of their calls. */
  readonly operations: readonly OperationLine[];
  readonly watches: readonly WatchLine[];
  /** In the order of their revisions. */
  readonly events: readonly KeyEvent[];
  /** What the events are complete for; null when they were not read back. */
  readonly log: LogLine | null;
  readonly digests: readonly DigestLine[];
  readonly applied: readonly AppliedLine[];
  readonly workloads: readonly WorkloadLine[];
}

export type Verdict = 'ok' | 'illegal' | 'unknown';

/** The outcome of one check of one subject. `unknown` is never a pass. */
export interface Finding {
  /** Such as "linearizability", "revisions", "watch order". */
  readonly check: string;
  /** A key, a watch, a client. */
  readonly subject: string;
  readonly verdict: Verdict;
  /** For people; may have several lines. Empty when ok. */
  readonly detail: string;
}

/** What was checked, and what came of it. */
export interface Report {
  /** The worst of all findings: illegal, else unknown, else ok. */
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** How much each check looked at, by the check's name: a check that saw nothing proves nothing. */
  readonly counts: ReadonlyMap<string, number>;
}

/** The signatures that others call. */
export interface RecorderApi {
  /** Microseconds, never twice the same. */
  now(): number;
  /** A fresh logical client. */
  newClient(): number;
  newWatch(): number;
  /** Writes one line; awaits nothing, but `flushed` says when the file has room again. */
  write(line: HistoryLine): void;
  note(text: string): void;
  flushed(): Promise<void>;
  close(): Promise<void>;
}
