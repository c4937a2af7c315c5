/** What happens at a failpoint. */
export interface Armed {
  readonly action: 'exit' | 'sleep' | 'error' | 'stall';
  readonly durationMs: number;
  /** Only at this time that it is passed, or every time. */
  readonly at: number | null;
  passed: number;
}

const SPECIFICATION =
  /^(?<name>\w+):(?<action>exit|sleep|error|stall)(?::(?<duration>\d+))?(?:@(?<at>\d+))?$/;

/** Reads `name:action[:milliseconds][@time]`, separated by commas. @throws Error for anything else */
export function armed(text: string): Map<string, Armed> {
  const points = new Map<string, Armed>();
  const specifications = text.split(',').map((one) => one.trim());
  for (const specification of specifications.filter((one) => one !== '')) {
    const { name, action, duration, at } = SPECIFICATION.exec(specification)?.groups ?? {};
    if (name === undefined || action === undefined) throw new Error(`not a failpoint: ${specification}`);
    const takesTime = action === 'sleep' || action === 'stall';
    if (takesTime !== (duration !== undefined)) throw new Error(`not a failpoint: ${specification}`);
    points.set(name, {
      action: action as Armed['action'],
      durationMs: Number(duration ?? 0),
      at: at === undefined ? null : Number(at),
      passed: 0,
    });
  }
  return points;
}
