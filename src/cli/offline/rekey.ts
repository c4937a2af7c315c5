import { type Command, Option } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { HoldfastClient, KeyChangeStatus } from '../../client/index.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { abortKeyChange, afterwards, showCurrent } from '../keyChangeEnd.ts';
import { isUnderWay, leadersKeyChange } from '../keyChangeView.ts';
import { until } from '../until.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

const PREPARED_WITHIN_MS = 120_000;
const KEY_SETTINGS = ['controlKeyPath', 'dataDir'] as const;
/** What begins a rekey, or brings it on. */
const DOES = ['provided', 'saveKey', 'escrow', 'acceptFingerprint', 'wait'] as const;

interface RekeyOptions {
  readonly status?: boolean;
  readonly abort?: boolean;
  readonly provided?: boolean;
  readonly wait?: boolean;
  readonly saveKey?: string;
  readonly escrow?: string;
  readonly acceptFingerprint?: string;
}

/** `holdfast cluster rekey` */
export function addRekeyCommand(cluster: Command, invocation: Invocation): void {
  const rekey = cluster
    .command('rekey')
    .description('a new control key and data key: everything is sealed anew, and the old keys go')
    .addOption(new Option('--status', 'only show how far it is').default(false).conflicts([...DOES, 'abort']))
    .addOption(
      new Option('--abort', 'give it up, before anything is sealed by the new key')
        .default(false)
        .conflicts([...DOES]),
    )
    .option('--provided', 'the nodes have been given the new key in HOLDFAST_CONTROL_KEY', false)
    .option('--save-key <file>', 'write a copy of the new control key, on a node, and confirm it')
    .option('--escrow <file>', 'also write a copy of the control key that goes')
    .option('--wait', 'until it is finished', false)
    .addOption(
      new Option('--accept-fingerprint <fingerprint>', 'confirm that you hold a copy of this key').conflicts(
        'saveKey',
      ),
    );
  addSettingOptions(rekey, KEY_SETTINGS).action(async (options: RekeyOptions, command: Command) => {
    const output = outputOf(invocation, command);
    await withClient(invocation, command, async (client) => {
      if (options.status === true) return showCurrent(client, output);
      if (options.abort === true) return abortKeyChange(client, { kind: 'rekey', output });
      const change = await begun(client, options);
      const confirms = [options.saveKey, options.acceptFingerprint, options.escrow];
      if (confirms.some((option) => option !== undefined))
        await confirm(client, { change, options, invocation, command });
      else if (!change.confirmed)
        output.note(options.provided === true ? NOT_CONFIRMED_PROVIDED : NOT_CONFIRMED);
      const { id } = change;
      await afterwards(client, { id, wait: options.wait === true, output, invocation });
    });
  });
}

const NOT_CONFIRMED =
  'Nothing is sealed by the new control key until you hold a copy of it. On a node: holdfast cluster rekey --save-key FILE. ' +
  'Or copy the key file of a node yourself, then: holdfast cluster rekey --accept-fingerprint sha256:…';

const NOT_CONFIRMED_PROVIDED =
  'Nothing is sealed by the new control key until you say that it is the one you hold: holdfast cluster rekey ' +
  '--accept-fingerprint sha256:… (holdfast key fingerprint tells it, with that key in HOLDFAST_CONTROL_KEY).';

/** The rekey that is under way, or a new one. */
async function begun(client: HoldfastClient, { provided }: RekeyOptions): Promise<KeyChangeStatus> {
  const before = await leadersKeyChange(client);
  if (before !== null && isUnderWay(before)) {
    if (before.kind === 'rekey') return before;
    throw new HoldfastError('KEY_CHANGE_PENDING', `a ${before.kind} is under way`, {
      hint: 'wait for its end: holdfast cluster rekey --status',
    });
  }
  const { id } = await client.cluster.beginKeyChange({
    kind: 'rekey',
    source: provided === true ? 'environment' : 'file',
  });
  const change = await leadersKeyChange(client);
  if (change?.id === id) return change;
  throw new HoldfastError('OUTCOME_UNKNOWN', 'the rekey was begun, and is not to be seen yet', {
    hint: 'holdfast cluster rekey --status',
  });
}

interface Confirming {
  readonly change: KeyChangeStatus;
  readonly options: RekeyOptions;
  readonly invocation: Invocation;
  readonly command: Command;
}

/** Once every member holds the new key: before that another one may still take its place. */
async function confirm(client: HoldfastClient, confirming: Confirming): Promise<void> {
  const { options, invocation, command } = confirming;
  const change = await prepared(client, confirming);
  const { copyControlKey } = await import('../../node/keyCopies.ts');
  const settings = await settingsOf(command, invocation);
  const output = outputOf(invocation, command);
  const { id, newFingerprint, previousFingerprint } = change;
  const { acceptFingerprint } = options;
  if (acceptFingerprint !== undefined && acceptFingerprint !== newFingerprint) {
    throw new HoldfastError(
      'CONTROL_KEY_MISMATCH',
      `the new control key is ${newFingerprint}, and not ${acceptFingerprint}`,
      { field: 'accept-fingerprint', hint: 'confirm the key that you hold a copy of, and no other' },
    );
  }
  if (options.escrow !== undefined) {
    copyControlKey(settings, { fingerprint: previousFingerprint, to: options.escrow });
    output.note(`wrote the control key that goes, ${previousFingerprint}, to ${options.escrow}`);
  }
  if (options.saveKey !== undefined) {
    copyControlKey(settings, { fingerprint: newFingerprint, to: options.saveKey });
    output.note(`wrote the new control key, ${newFingerprint}, to ${options.saveKey}`);
  }
  const isConfirmed = acceptFingerprint !== undefined || options.saveKey !== undefined;
  if (isConfirmed && change.phase === 'preparing')
    await client.cluster.confirmKeyChange({ id, newFingerprint });
}

async function prepared(
  client: HoldfastClient,
  { change, invocation }: Confirming,
): Promise<KeyChangeStatus> {
  let seen = change;
  const isPrepared = async (): Promise<boolean> => {
    const now = await leadersKeyChange(client);
    if (now?.id !== change.id) return false;
    seen = now;
    const { phase, newFingerprint, members } = now;
    return (
      phase !== 'preparing' ||
      (newFingerprint !== '' && members.length > 0 && members.every(({ proved }) => proved))
    );
  };
  try {
    const { interrupted } = invocation;
    await until(
      { withinMs: PREPARED_WITHIN_MS, what: 'a new control key at every member', interrupted },
      isPrepared,
    );
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'DEADLINE_EXCEEDED') throw thrown;
    const missing = seen.members.flatMap(({ name, proved }) => (proved ? [] : [name])).join(', ');
    throw new HoldfastError(
      'KEY_CHANGE_PENDING',
      `the new control key is not at every member: ${missing} is missing`,
      {
        hint: 'holdfast cluster rekey --status says why: start it, or remove it (holdfast member remove), then run this again',
      },
    );
  }
  if (seen.phase === 'aborted') throw new HoldfastError('CANCELLED', 'the rekey was aborted');
  return seen;
}
