import type { Command } from 'commander';
import { type Invocation, outputOf } from '../invocation.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

const KEY_SETTINGS = ['controlKeyPath', 'jwtSecretPath', 'dataDir'] as const;

/** `holdfast key …`: works on key files, with no node running. */
export function addKeyCommands(program: Command, invocation: Invocation): void {
  const key = program.command('key').description('make and compare key files, offline');

  addSettingOptions(
    key.command('generate').description('make a control key and a JWT secret, each in a file of mode 0600'),
    KEY_SETTINGS,
  ).action(async (_options: unknown, command: Command) => {
    const { generateKeyFiles, loadKeys } = await import('../../node/keys.ts');
    const settings = await settingsOf(command, invocation);
    const files = generateKeyFiles(settings);
    const { control, jwt } = loadKeys({ ...settings, keyEnvironment: new Map() });
    outputOf(invocation, command).result(
      { files, controlKeyFingerprint: control.active.fingerprint, jwtSecretFingerprint: jwt.fingerprint },
      [
        ...files.map((file) => `wrote ${file}`),
        `control key ${control.active.fingerprint}`,
        `JWT secret  ${jwt.fingerprint}`,
        'Keep a copy of both files in a safe place: without the control key nothing can be read again.',
      ],
    );
  });

  addSettingOptions(
    key.command('fingerprint').description('show the fingerprints of the keys that this node would use'),
    KEY_SETTINGS,
  ).action(async (_options: unknown, command: Command) => {
    const { loadKeys } = await import('../../node/keys.ts');
    const { control, jwt } = loadKeys(await settingsOf(command, invocation));
    const others = [
      ...control.prepared.map(({ fingerprint }) => ({ fingerprint, state: 'prepared' })),
      ...control.legacy.map(({ fingerprint }) => ({ fingerprint, state: 'legacy' })),
    ];
    outputOf(invocation, command).result(
      {
        source: control.source,
        controlKeyFingerprint: control.active.fingerprint,
        otherControlKeys: others,
        jwtSecretFingerprint: jwt.fingerprint,
      },
      [
        `control key ${control.active.fingerprint} (from ${control.source})`,
        ...others.map(({ fingerprint, state }) => `            ${fingerprint} (${state})`),
        `JWT secret  ${jwt.fingerprint} (from ${jwt.source})`,
      ],
    );
  });

  addSettingOptions(
    key
      .command('confirm-backup')
      .description('record that a copy of the control key is kept elsewhere, by the fingerprint of that copy')
      .requiredOption('--fingerprint <sha256:…>', 'computed over the copy'),
    ['controlKeyPath', 'dataDir'],
  ).action(async (options: { fingerprint: string }, command: Command) => {
    const { fingerprint } = options;
    const [{ loadControl }, { confirmKeyBackup }] = await Promise.all([
      import('../../node/keys.ts'),
      import('../../node/keyBackup.ts'),
    ]);
    const settings = await settingsOf(command, invocation);
    const control = loadControl(settings);
    const file = await confirmKeyBackup({ control, controlKeyPath: settings.controlKeyPath }, fingerprint);
    outputOf(invocation, command).result({ confirmed: fingerprint, file }, [
      `a copy of control key ${fingerprint} is confirmed`,
    ]);
  });
}
