/** A lock file's `packages`, as far as an install is judged by them. */
export type Packages = Readonly<
  Record<
    string,
    {
      readonly version?: string;
      readonly integrity?: string;
      readonly optional?: boolean;
      readonly os?: readonly string[];
      readonly cpu?: readonly string[];
    }
  >
>;

export function installDifference(
  wanted: Packages | undefined,
  installed: Packages | undefined,
): string | undefined;
export function ensureInstalled(): Promise<void>;
