/** This file says what a camera's source tells while it runs. */
import type { CuframesErrorCode, PixelFormat } from "../core/mod.ts";
import type { PublisherEvent } from "../frames/mod.ts";
import type { MemoryKind } from "../memory/mod.ts";

/**
 * What a {@linkcode CameraSource} tells while it runs: of its input, and of its ring.
 *
 * @example
 * ```ts
 * import { CameraSource, type CameraSourceEvent } from "@cuframes/core/source";
 *
 * function tell(event: CameraSourceEvent): void {
 *   if (event.kind === "disconnected") console.warn(`${event.reason}: again in ${event.retryIn} ms`);
 * }
 * await using source = CameraSource.start({ input: "rtsp://camera/stream", key: "cam", onEvent: tell });
 * await source.closed;
 * ```
 */
export type CameraSourceEvent =
  | PublisherEvent
  | {
    /** The input is being opened. */
    readonly kind: "connecting";
    /** Without what may be credentials: a URL's user, password, query and fragment, and a path's `password=…`. */
    readonly input: string;
  }
  | {
    /** The input is open, and published. */
    readonly kind: "connected";
    /** WebCodecs' codec string; FFmpeg's name for a codec that WebCodecs does not have. */
    readonly codec: string;
    /** The stream's width, in pixels. */
    readonly codedWidth: number;
    /** The stream's height, in pixels. */
    readonly codedHeight: number;
    /** Frames a second; null where the stream does not say. */
    readonly frameRate: number | null;
    /** The published frames' width, in pixels. */
    readonly width: number;
    /** The published frames' height, in pixels. */
    readonly height: number;
    /** The published frames' format. */
    readonly format: PixelFormat;
    /** Where the published frames are. */
    readonly memory: MemoryKind;
    /** Whether frames are published: what is said of them is said of them alone. */
    readonly frames: boolean;
    /** Whether packets are published: an input that gives pictures instead has none. */
    readonly packets: boolean;
  }
  | {
    /** The input is lost, and will be opened again. */
    readonly kind: "disconnected";
    /** The failure's code; null where the stream just ended. */
    readonly code: CuframesErrorCode | null;
    /** The failure's sentence. */
    readonly reason: string;
    /** Milliseconds until the next attempt. */
    readonly retryIn: number;
  };
