/** What an alert rule can look at, and which of its fields say how. Part of the stored format: kinds are added, never changed. */
export const ALERT_KINDS = {
  /** Values of secret names that are read at an unusual time. */
  'reads-outside-hours': ['resource', 'hours'],
  /** One secret that so many different principals read within so long a time. */
  'many-readers': ['resource', 'count', 'within'],
  /** So many denials of one principal, or from one address, within so long a time. */
  denials: ['by', 'count', 'within'],
  /** An access token that is used from an address from which it was not used before. */
  'token-address': [],
  /** The way in for whoever has lost every other one. */
  'break-glass': [],
} as const satisfies Readonly<Record<string, readonly AlertField[]>>;

export type AlertField = 'resource' | 'hours' | 'by' | 'count' | 'within';
export type AlertKind = keyof typeof ALERT_KINDS;

export const ALERT_SUBJECTS = ['principal', 'address'] as const;

export function isAlertKind(text: string): text is AlertKind {
  return Object.hasOwn(ALERT_KINDS, text);
}

export function usesField(kind: AlertKind, field: AlertField): boolean {
  const fields: readonly AlertField[] = ALERT_KINDS[kind];
  return fields.includes(field);
}
