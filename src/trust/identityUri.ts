import type { ClusterId, NodeId } from '../base/ids.ts';

/** Whom a certificate speaks for. */
export type CertificateIdentity =
  | { readonly kind: 'node'; readonly nodeId: NodeId }
  | { readonly kind: 'client'; readonly name: string };

const URI_PATTERN = /^holdfast:\/\/([0-9a-f]{16})\/(node|client)\/([^/]+)$/;
const NODE_ID_PATTERN = /^[0-9a-f]{16}$/;
const CLIENT_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/;

/** 1 to 128 of A-Z a-z 0-9 . _ @ -, of which the first is a letter or digit. */
export function isClientName(name: string): boolean {
  return CLIENT_NAME_PATTERN.test(name);
}

/** `holdfast://<cluster id>/node/<id>` or `holdfast://<cluster id>/client/<name>`. */
export function identityUri(clusterId: ClusterId, identity: CertificateIdentity): string {
  const path = identity.kind === 'node' ? `node/${identity.nodeId}` : `client/${identity.name}`;
  return `holdfast://${clusterId}/${path}`;
}

/** The inverse of identityUri, or null for what it never makes. */
export function parseIdentityUri(uri: string): { clusterId: string; identity: CertificateIdentity } | null {
  const [, clusterId, kind, rest] = URI_PATTERN.exec(uri) ?? [];
  if (clusterId === undefined || rest === undefined) return null;
  if (kind === 'client') {
    return isClientName(rest) ? { clusterId, identity: { kind, name: rest } } : null;
  }
  if (!NODE_ID_PATTERN.test(rest)) return null;
  return { clusterId, identity: { kind: 'node', nodeId: rest as NodeId } };
}
