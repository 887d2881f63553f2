// What a frame that is published is filled from, and what travels with it.

import { type OptionNames, optionNames } from "../core/mod.ts";
import { PICTURE_INIT, type PictureInit } from "./picture_init.ts";

/**
 * What travels with a frame; see {@linkcode WritableFrame.publish}.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * using frame = publisher.acquire();
 * frame.publish({ timestamp: 40_000, duration: 40_000, metadata: new TextEncoder().encode("pan=12") });
 * ```
 */
export interface FrameInit extends PictureInit {
  /** Presentation time in microseconds; default: the monotonic clock at publish. */
  timestamp?: number;
  /** Presentation time in nanoseconds, instead of `timestamp`. */
  timestampNs?: bigint;
  /** Microseconds. */
  duration?: number;
  /** Nanoseconds, instead of `duration`. */
  durationNs?: bigint;
  /** When the picture was taken, in µs of UTC since 1970; default: not known. */
  captureTime?: number | null;
  /** When the picture was taken, in ns of UTC since 1970, instead of `captureTime`. */
  captureTimeNs?: bigint | null;
  /** Up to 1024 bytes of the publisher's own; copied. */
  metadata?: Uint8Array;
  /** This frame does not continue the one before it. */
  discontinuity?: boolean;
  /** The decoder concealed errors in this frame. */
  corrupt?: boolean;
  /**
   * On a GPU: the CUstream whose work so far fills the frame, which becomes visible when that is done, and whatever
   * `copyFrom` and `write` have queued; 0n is the legacy default stream. Default: the stream of the frame's last copy,
   * else the library's own. Ignored on host memory.
   */
  stream?: bigint;
}

/**
 * A picture on the GPU that a frame is on; see {@linkcode WritableFrame.copyFrom}.
 *
 * @example
 * ```ts
 * import { type DevicePicture, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, picture: DevicePicture): void {
 *   using frame = publisher.acquire();
 *   frame.copyFrom(picture);
 *   frame.publish();
 * }
 * ```
 */
export interface DevicePicture {
  /** CUdeviceptr of the first plane. */
  devicePointer: bigint;
  /** Bytes; default: rows and planes one behind the other without padding. */
  planes?: { offset: number; stride: number }[];
  /** CUstream that orders the copy; default: the library's own. */
  stream?: bigint;
}

/**
 * How {@linkcode WritableFrame.copyFrom} copies an imported image.
 *
 * @example
 * ```ts
 * import { type ImportedImage, type Publisher } from "@cuframes/core";
 *
 * export function publish(publisher: Publisher, image: ImportedImage, stream: bigint): void {
 *   using frame = publisher.acquire();
 *   frame.copyFrom(image, { stream });
 *   frame.publish({ stream });
 * }
 * ```
 */
export interface ImageCopyOptions {
  /** On a GPU: the CUstream that orders the copy; default: the library's own. Ignored on host memory. */
  stream?: bigint;
  /**
   * Fills this plane of the frame from an image of one plane: R8 and GR88 make an NV12 frame's planes 0 and 1; R8 of as many
   * bytes a row makes any. Default: the image fills the frame.
   */
  plane?: number;
}

/** The names of {@linkcode FrameInit}. */
export const FRAME_INIT: OptionNames = optionNames<FrameInit>({
  timestamp: true,
  timestampNs: true,
  duration: true,
  durationNs: true,
  captureTime: true,
  captureTimeNs: true,
  ...PICTURE_INIT,
  metadata: true,
  discontinuity: true,
  corrupt: true,
  stream: true,
});

/** The names of {@linkcode DevicePicture}. */
export const DEVICE_PICTURE: OptionNames = optionNames<DevicePicture>({
  devicePointer: true,
  planes: true,
  stream: true,
});

/** The names of {@linkcode ImageCopyOptions}. */
export const IMAGE_COPY_OPTIONS: OptionNames = optionNames<ImageCopyOptions>({ stream: true, plane: true });
