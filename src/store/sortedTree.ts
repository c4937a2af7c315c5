import { createRequire } from 'node:module';
import type * as SortedBtree from 'sorted-btree';

// A CommonJS package with a default export: what `import` makes of it depends on who loads it, `require` does not.
const required = createRequire(import.meta.url)('sorted-btree') as typeof SortedBtree.default;

/** An ordered map with cheap range scans. */
export const SortedTree = required.default;
