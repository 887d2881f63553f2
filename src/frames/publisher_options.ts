// What a publisher is created with.

import type { PixelFormat, POLICIES } from "../core/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";

/** What a publisher does when no slot of its ring is free. */
export type Policy = keyof typeof POLICIES;

/**
 * Options of {@linkcode Publisher.create}.
 *
 * @example
 * ```ts
 * import { Publisher, type PublisherOptions } from "@cuframes/core";
 *
 * const options: PublisherOptions = { key: "cam-parking", width: 1280, height: 720, slots: 8, memory: "auto" };
 * using publisher = Publisher.create(options);
 * ```
 */
export interface PublisherOptions {
  /** The name that subscribers connect to: 1–63 characters of `A–Z a–z 0–9 _ -`. */
  key: string;
  /** Pixels, 1 to 16384. */
  width: number;
  /** Pixels, 1 to 16384. */
  height: number;
  /** Default: `"NV12"`. */
  format?: PixelFormat;
  /** Frames in the ring, 2 to 64; default 8. A slot that a subscriber holds is not available to write. */
  slots?: number;
  /**
   * `"drop-oldest"` (default): the oldest frame that nobody holds is overwritten; ordered subscribers count what
   * they miss. `"wait"`: no frame is overwritten before every ordered subscriber has had it; `acquire` waits.
   */
  policy?: Policy;
  /** With the policy `"wait"`: how long `acquire` waits by default. Milliseconds; default 1000. */
  timeout?: number;
  /**
   * `"host"` (default), `"cuda"`, or `"auto"`: CUDA where it works, else host memory.
   */
  memory?: MemoryKind | "auto";
  /** For CUDA: a device's number in this process, or its UUID (`"GPU-…"`); default: the first. */
  device?: number | string;
  /** Where the socket is made; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
  /** Permission bits of the socket; default `0o660`. */
  socketMode?: number;
}
