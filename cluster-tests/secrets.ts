import { type ClusterNode, holdfast } from './localCluster.ts';

export interface Secrets {
  readonly controlKeyPath: string;
  readonly jwtSecretPath: string;
  readonly control: string;
  readonly jwt: string;
}

/** The fingerprints of a node's secrets. `make`: of new ones. */
export async function secretsOf(node: ClusterNode, { make }: { make: boolean }): Promise<Secrets> {
  const { controlKeyPath, jwtSecretPath, dataDir } = node;
  const flags = ['--control-key-path', controlKeyPath, '--jwt-secret-path', jwtSecretPath];
  const words = ['key', make ? 'generate' : 'fingerprint', ...flags, '--data-dir', dataDir];
  const { code, stdout, stderr } = await holdfast([...words, '--output', 'json']);
  if (code !== 0) throw new Error(`holdfast ${words.join(' ')}: ${stderr}`);
  const { controlKeyFingerprint, jwtSecretFingerprint } = JSON.parse(stdout.toString()) as {
    controlKeyFingerprint: string;
    jwtSecretFingerprint: string;
  };
  return { controlKeyPath, jwtSecretPath, control: controlKeyFingerprint, jwt: jwtSecretFingerprint };
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** All that is said of a refusal. Which address the leader has is left open: another one may lead by then. */
export function refusal({ code, message, hint }: Refusal): object {
  return { code: 1, stdout: '', stderr: `error: ${message} (${code})\nhint: ${hint}\n` };
}
