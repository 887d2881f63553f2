// What the benchmark asks of its workers, and what they answer.

/** Nanoseconds of each call, by its name. */
export type CallTimes = Record<string, number[]>;

/** Of a publisher: one frame after each pause. */
export interface PacedRequest {
  key: string;
  /** Frames before those that count. */
  warmup: number;
  count: number;
  /** Milliseconds between one frame and the next. */
  intervalMs: number;
  /** Copies a picture into the slot first. */
  copy?: boolean;
}

/** How a subscriber waits. */
export type How = "next" | "nextSync" | "spin";

/** How much of a picture a receiver reads. */
export type Touch = "none" | "all";

/** Of a subscriber: until the frame with timestamp 0. */
export interface ReceiveRequest {
  key: string;
  how: How;
  count: number;
  touch: Touch;
}

/** Of both: that many frames, as fast as they go. */
export interface FloodRequest {
  key: string;
  count: number;
  /** Frames before the first look at the memory. */
  settled: number;
}

/** Bytes. */
export interface MemorySample {
  rss: number;
  heapUsed: number;
}

/** Of both ends of a socket: one small message after each pause. */
export interface PingRequest {
  path: string;
  warmup: number;
  count: number;
  /** Milliseconds between one message and the next. */
  intervalMs: number;
}

/** Of both ends of a rival: one picture after each pause. */
export interface TransferRequest extends PingRequest {
  /** Bytes of a picture. */
  size: number;
  touch: Touch;
}
