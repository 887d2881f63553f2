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

/** Nanoseconds: when each publish was called, by how many frames follow, and what acquire and publish took. */
export interface TimedCalls {
  calledNs: number[];
  callNs: number[];
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

/** A library that also shares pictures in place. */
export type RivalName = "iceoryx2" | "iceoryx";

/** Of a rival: what it is, and where its files may be. */
export interface RivalStartRequest {
  name: RivalName;
  directory: string;
}

/** Its name and version, or why it cannot be measured. */
export type RivalStarted = { name: string } | { skipped: string };

/** How its reader waits: in a WaitSet, in its listener alone, or it polls. */
export type RivalHow = "waitset" | "listener" | "spin";

/** Of a rival: one picture after each pause, from one process to another. */
export interface RivalPacedRequest {
  how: RivalHow;
  /** Pictures before those that count. */
  warmup: number;
  count: number;
  /** Milliseconds between one picture and the next. */
  intervalMs: number;
  /** Bytes of a picture. */
  size: number;
}

/** Of a rival: pictures as fast as they go, past a reader that takes none of them, or with none connected. */
export interface RivalBatchRequest {
  how: RivalHow | "none";
  batches: number;
  /** Pictures of a batch. */
  batch: number;
  size: number;
}

/** Nanoseconds from publish to the reader's return, and of loan and publish together. */
export interface Exchange {
  latencyNs: number[];
  callNs: number[];
}
