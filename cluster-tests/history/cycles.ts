/** Cycles in a directed graph whose nodes are 0 … n-1. */

export interface Edge<Label> {
  readonly from: number;
  readonly to: number;
  readonly label: Label;
}

/**
 * One shortest cycle out of each strongly connected part that has one (Tarjan 1972, without recursion), as its edges
 * in order. Linear in nodes and edges, but for the search of the shortest within a part.
 */
export function findCycles<Label>(
  nodes: number,
  edges: readonly Edge<Label>[],
): readonly (readonly Edge<Label>[])[] {
  const out: Edge<Label>[][] = Array.from({ length: nodes }, () => []);
  for (const edge of edges) out[edge.from]?.push(edge);
  const cycles: (readonly Edge<Label>[])[] = [];
  for (const part of stronglyConnected(out)) {
    const inside = new Set(part);
    const start = part[0] ?? 0;
    const hasCycle = part.length > 1 || (out[start] ?? []).some(({ to }) => to === start);
    if (hasCycle) cycles.push(shortestCycle(out, inside));
  }
  return cycles;
}

function stronglyConnected<Label>(out: readonly (readonly Edge<Label>[])[]): readonly (readonly number[])[] {
  const order = new Int32Array(out.length).fill(-1);
  const low = new Int32Array(out.length);
  const onStack = new Uint8Array(out.length);
  const stack: number[] = [];
  const parts: number[][] = [];
  let visited = 0;
  const enter = (node: number, path: { node: number; next: number }[]): void => {
    order[node] = visited;
    low[node] = visited;
    visited += 1;
    onStack[node] = 1;
    stack.push(node);
    path.push({ node, next: 0 });
  };
  for (let root = 0; root < out.length; root += 1) {
    if (order[root] !== -1) continue;
    const path: { node: number; next: number }[] = [];
    enter(root, path);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { node } = top;
      const edge = out[node]?.[top.next];
      top.next += 1;
      if (edge !== undefined) {
        if (order[edge.to] === -1) enter(edge.to, path);
        else if (onStack[edge.to] === 1) low[node] = Math.min(low[node] ?? 0, order[edge.to] ?? 0);
        continue;
      }
      path.pop();
      const parent = path.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
      if (low[node] !== order[node]) continue;
      const part = stack.splice(stack.lastIndexOf(node));
      for (const member of part) onStack[member] = 0;
      parts.push(part);
    }
  }
  return parts;
}

/** Nodes of a part tried as a start; the cycle found is short, if not always the shortest. */
const STARTS_MAX = 64;

function shortestCycle<Label>(
  out: readonly (readonly Edge<Label>[])[],
  inside: ReadonlySet<number>,
): readonly Edge<Label>[] {
  let best: readonly Edge<Label>[] = [];
  for (const start of [...inside].slice(0, STARTS_MAX)) {
    const cycle = cycleThrough(start, out, inside);
    if (best.length === 0 || (cycle.length > 0 && cycle.length < best.length)) best = cycle;
  }
  return best;
}

/** Breadth first from `start` back to it. */
function cycleThrough<Label>(
  start: number,
  out: readonly (readonly Edge<Label>[])[],
  inside: ReadonlySet<number>,
): readonly Edge<Label>[] {
  const reachedBy = new Map<number, Edge<Label>>();
  let frontier = [start];
  while (frontier.length > 0) {
    const next: number[] = [];
    for (const edge of frontier.flatMap((node) => out[node] ?? [])) {
      if (!inside.has(edge.to) || reachedBy.has(edge.to)) continue;
      reachedBy.set(edge.to, edge);
      if (edge.to === start) return pathTo(start, reachedBy);
      next.push(edge.to);
    }
    frontier = next;
  }
  return [];
}

function pathTo<Label>(start: number, reachedBy: ReadonlyMap<number, Edge<Label>>): readonly Edge<Label>[] {
  const path: Edge<Label>[] = [];
  let node = start;
  do {
    const edge = reachedBy.get(node);
    if (edge === undefined) break;
    path.unshift(edge);
    node = edge.from;
  } while (node !== start);
  return path;
}
