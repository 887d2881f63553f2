// What a publisher is created with.

import { type OptionNames, optionNames, type PixelFormat, type POLICIES } from "../core/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";
import type { PublisherEvent } from "./publisher_event.ts";
import type { PacketRingOptions, TrackOptions } from "../packets/mod.ts";

/** What a publisher does when no slot of its ring is free. */
export type Policy = keyof typeof POLICIES;

/**
 * Options of {@linkcode Publisher.create} for a publisher that has no frames, but tracks of packets alone.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "doorbell", frames: false });
 * const sound = publisher.addTrack({ kind: "audio", codec: "alaw", sampleRate: 8000, numberOfChannels: 1 });
 * sound.write({ type: "key", timestamp: 0, data: new Uint8Array(160) });
 * ```
 */
export interface TrackPublisherOptions
  extends Pick<PublisherOptions, "key" | "packets" | "tracks" | "runtimeDirectory" | "socketMode"> {
  /** There are packets only. */
  frames: false;
}

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
  /** `false`: there are packets only, as {@linkcode TrackPublisherOptions} says; default true. */
  frames?: true;
  /** Pixels, 1 to 16384. */
  width: number;
  /** Pixels, 1 to 16384. */
  height: number;
  /** Default: `"NV12"`. */
  format?: PixelFormat;
  /** Slots that the ring begins with, and goes back to: 2 to 64; default 8, or `maxSlots` where that is less. */
  slots?: number;
  /**
   * Slots that the ring may grow to while subscribers hold so many frames that none is free (frames that this publisher has
   * acquired, or whose GPU work is under way, take the first `slots` at most): `slots` to 64; default 32, or
   * `slots` where that is more. When that is not enough, the subscriber that holds most, longest, is evicted. With the policy
   * `"wait"` the ring has `slots`, always.
   */
  maxSlots?: number;
  /**
   * Bytes that the slots may take, those included that evicted subscribers still hold: at least those of `slots` and two
   * more. The ring grows to half of what the evicted leave. Default: those of four times `maxSlots`.
   */
  memoryLimit?: number;
  /**
   * `"drop-oldest"` (default): the oldest frame that nobody holds is overwritten, and no subscriber can keep the publisher
   * from going on; ordered subscribers count what they miss. `"wait"`: no frame is overwritten before every ordered subscriber has had it; `acquire` waits.
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
  /**
   * Told of the ring: that it grew or shrank, that a subscriber was evicted or is refused. Called within `acquire` and
   * `acquireAsync`, in order; where nobody acquires for long, the newest 64 are kept.
   */
  onEvent?: (event: PublisherEvent) => void;
  /**
   * A track of encoded pictures from the beginning: no subscriber meets the publisher without it. It is the first of the
   * tracks. Default: none, until `enablePackets` adds one.
   */
  packets?: PacketRingOptions;
  /** Further tracks from the beginning, in this order; `addTrack` adds more. */
  tracks?: readonly TrackOptions[];
  /** Where the socket is made; default: see docs/protocol.md, "Runtime directory". */
  runtimeDirectory?: string;
  /** Permission bits of the socket; default `0o660`. */
  socketMode?: number;
}

/** The names of {@linkcode PublisherOptions}. */
export const PUBLISHER_OPTIONS: OptionNames = optionNames<PublisherOptions>({
  key: true,
  frames: true,
  width: true,
  height: true,
  format: true,
  slots: true,
  maxSlots: true,
  memoryLimit: true,
  policy: true,
  timeout: true,
  memory: true,
  device: true,
  packets: true,
  tracks: true,
  onEvent: true,
  runtimeDirectory: true,
  socketMode: true,
});
