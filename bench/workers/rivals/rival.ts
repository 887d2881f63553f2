/** One of the libraries that ours is measured beside. */
export interface Rival {
  /** What runs one end of it, before the arguments of a measurement. */
  readonly command: readonly string[];

  /** Builds it, and starts what it needs; returns its name and version. Fails, with why, where it cannot be had. */
  start(): Promise<string>;

  /** What it has made in the file system that is still there, to be removed once its programs have ended. */
  files(): string[];
}
