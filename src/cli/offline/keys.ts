import type { Command } from 'commander';
import { generateKeyFiles, loadKeys } from '../../node/keys.ts';
import { type Invocation, outputOf } from '../invocation.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

const KEY_SETTINGS = ['controlKeyPath', 'jwtSecretPath', 'dataDir'] as const;

/** `holdfast key …`: works on key files, with no node running. */
export function addKeyCommands(program: Command, invocation: Invocation): void {
  const key = program.command('key').description('make and compare key files, offline');

  addSettingOptions(
    key.command('generate').description('make a control key and a JWT secret, each in a file of mode 0600'),
    KEY_SETTINGS,
  ).action((_options: unknown, command: Command) => {
    const settings = settingsOf(command, invocation);
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
  ).action((_options: unknown, command: Command) => {
    const { control, jwt } = loadKeys(settingsOf(command, invocation));
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
}
