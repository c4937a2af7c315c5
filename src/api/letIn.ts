import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Principal } from '../proto/storage.ts';
import type { Callers, IncomingCall } from './caller.ts';
import type { AccessPort, Caller } from './ports.ts';
import { RPC_RULES } from './rpcRules.ts';

/** A call that says which method it is for. */
export interface GuardedCall extends IncomingCall {
  getPath(): string;
}

/** Nobody yet: he may ask for what strangers may ask for. */
const STRANGER = { kind: 'stranger', name: '' };

interface Guards {
  readonly callers: Callers;
  readonly access: AccessPort;
}

/**
 * Who calls, once it is known that he may use this method at all.
 * @throws HoldfastError UNAUTHENTICATED, PERMISSION_DENIED; and what a linearizable read throws, before either is said
 */
export async function letIn(
  { callers, access }: Guards,
  call: GuardedCall,
  deadlineMs: number,
): Promise<Caller> {
  const path = call.getPath();
  const rule = RPC_RULES.get(path);
  if (rule === 'stranger') return { principal: { ...STRANGER, address: call.getPeer() }, deadlineMs };
  const caller = { ...(await callers.identified(call, deadlineMs)), deadlineMs };
  if (rule === undefined) throw refused(access, caller, path, 'nothing is known of who may call this method');
  if (rule === 'anyone' || rule === 'names') return caller;
  if (rule !== 'certificate') {
    await access.requireArea(caller, rule);
    return caller;
  }
  if (caller.principal.kind === 'client') return caller;
  throw refused(access, caller, path, 'only a client with a certificate of its own asks for this');
}

/** The path is one that this server has, and so is a text of our own. */
function refused(access: AccessPort, { principal }: Caller, path: string, message: string): HoldfastError {
  const code = 'PERMISSION_DENIED';
  access.refused({ principal, proved: true, code, detail: path });
  return new HoldfastError(code, message);
}

/** Who opens a stream, and how it is known whether he is still somebody: asked about once a second. */
export async function letInStream(
  guards: Guards,
  call: GuardedCall,
): Promise<{ readonly principal: Principal; readonly isGood: (wallMs: number) => boolean }> {
  const { callers, access } = guards;
  const deadlineMs = callers.deadlineMs(LIMITS.requestTimeoutMs);
  const caller = await letIn(guards, call, deadlineMs);
  const { principal, sessionEndMs = Number.POSITIVE_INFINITY, isInForce = () => true } = caller;
  if (principal.kind !== 'client') {
    const isGood = (wallMs: number): boolean =>
      wallMs <= sessionEndMs && isInForce() && access.isKnown(principal);
    return { principal, isGood };
  }
  const endMs = callers.endMs(call);
  return { principal, isGood: (wallMs) => wallMs <= endMs };
}
