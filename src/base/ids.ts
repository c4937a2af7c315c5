import { HoldfastError } from './errors.ts';
import type { RandomSource } from './random.ts';

/** 64 random bits as 16 lower-case hex digits. Never reused, even after a wipe. */
export type NodeId = string & { readonly __brand: 'NodeId' };
/** 64 random bits as 16 lower-case hex digits; fences members of one cluster from another's. */
export type ClusterId = string & { readonly __brand: 'ClusterId' };
/** 64 random bits as 16 lower-case hex digits; bound into every envelope, made by init and restore. */
export type StoreId = string & { readonly __brand: 'StoreId' };

/** An election's number in the replicated log; 0 before the first. A safe integer. */
export type Term = number;
/** A position in the replicated log; the first entry has 1. A safe integer. */
export type LogIndex = number;
/** The store-wide number that every transaction with a mutation raises by one. A safe integer. */
export type Revision = number;

const ID_PATTERN = /^[0-9a-f]{16}$/;

function newId(random: RandomSource): string {
  return random.bytes(8).toString('hex');
}

function parseId(text: string, field: string): string {
  if (ID_PATTERN.test(text)) return text;
  throw new HoldfastError('INVALID_ARGUMENT', `${field} must be 16 lower-case hex digits`, { field });
}

export const newNodeId = (random: RandomSource): NodeId => newId(random) as NodeId;
export const newClusterId = (random: RandomSource): ClusterId => newId(random) as ClusterId;
export const newStoreId = (random: RandomSource): StoreId => newId(random) as StoreId;
/** @throws HoldfastError INVALID_ARGUMENT */
export const parseNodeId = (text: string, field = 'node_id'): NodeId => parseId(text, field) as NodeId;
/** @throws HoldfastError INVALID_ARGUMENT */
export const parseClusterId = (text: string, field = 'cluster_id'): ClusterId =>
  parseId(text, field) as ClusterId;
/** @throws HoldfastError INVALID_ARGUMENT */
export const parseStoreId = (text: string, field = 'store_id'): StoreId => parseId(text, field) as StoreId;
