// What the programs of the soak of readers are told, on their command line, and what they say, a line of JSON each.

import type { PublisherStats } from "../../../mod.ts";

export interface PublisherTask {
  key: string;
  width: number;
  height: number;
  /** Frames a second. */
  rate: number;
  maxSlots: number;
  memory: "host" | "cuda";
  /** How long it measures. */
  seconds: number;
}

/** What a publisher is told, as a line of JSON. */
export interface Order {
  order: "measure";
}

export const STEPS = ["acquire", "paint", "publish", "stats"] as const;
export type Step = (typeof STEPS)[number];

/** Of many runs. */
export interface Durations {
  p50: number;
  p99: number;
  max: number;
}

/** What a publisher has done in its measured time. */
export interface PublisherResult {
  event: "measured";
  expected: number;
  published: number;
  /** Frames for which there was no slot, and why. */
  failures: Record<string, number>;
  /** Frames that were begun more than a period behind their time, and the worst of them, in milliseconds. */
  late: number;
  latest: number;
  /** Of what it took longer than its seconds, in milliseconds. */
  overtime: number;
  /** Milliseconds of each step of a frame: of `acquire`, of painting, of `publish`, and of `stats`, beside it. */
  steps: Record<Step, Durations>;
  looks: number;
  /** The largest at any look. */
  slots: number;
  outside: number;
  leased: number;
  events: Record<"grown" | "shrunk" | "evicted" | "refused", number>;
  /** Who was evicted, by the first word of the name. */
  evicted: Record<string, number>;
  stats: PublisherStats;
}

/**
 * quick: holds one frame, shorter than 50 ms. holder: as quick for up to 5 s, then 1 to 8 frames for up to 5 s, and so on.
 * leaker: takes frames until it may have no more, closes none before it has been evicted for some time, and connects again.
 * mortal: holds 1 to 4 frames, for 1 to 3 s, and says when: it is stopped, or killed, then.
 */
export type Kind = "quick" | "holder" | "leaker" | "mortal";

export interface ReadersTask {
  key: string;
  kind: Kind;
  /** Subscribers in this process. */
  count: number;
  name: string;
  seed: number;
}

export interface ReaderResult {
  received: number;
  /** Looks at all the stamps of a frame, and at all its bytes. */
  checks: number;
  wholeChecks: number;
  torn: string[];
  tornCount: number;
  /** Errors by their codes. */
  errors: Record<string, number>;
  reconnects: number;
  /** The longest time without a new frame, its own holding included, in milliseconds. */
  longestGap: number;
}

export interface ReadersResult {
  event: "read";
  readers: ReaderResult[];
}
