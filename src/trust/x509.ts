/** The one place where the X.509 library is loaded: its dependency injection needs reflect-metadata to be there first. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

export { x509 };

/** The one kind of key and signature in holdfast's certificates. */
export const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
