/** This file says what a media reader yields: packets and frames. */
import type { DevicePicture, PictureInit, WritableFrame } from "../frames/mod.ts";
import type { DestinationPlane } from "./picture.ts";
import type { MediaTrack } from "./track.ts";

/**
 * One access unit of a track.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) if (event.kind === "packet") console.log(event.data.length);
 * ```
 */
export interface MediaPacket {
  /** What tells it from a frame. */
  readonly kind: "packet";
  /**
   * Whose it is: an index into `MediaReader.tracks`, or the next one behind that for a track that has come since, whose
   * first packet carries its `config`.
   */
  readonly track: number;
  /** The access unit, the reader's no more: Annex B for H.264 and HEVC, with parameter sets at key packets. */
  readonly data: Uint8Array;
  /** Whether a decoder can start here: always, but for video. */
  readonly type: "key" | "delta";
  /** When it is shown, in ns. */
  readonly timestampNs: bigint;
  /** When it is decoded, in ns; strictly increasing, never after `timestampNs`, negative at a start with B-frames. */
  readonly decodeTimestampNs: bigint;
  /** How long it is shown, in ns. */
  readonly durationNs: bigint;
  /** Whether the demuxer found it damaged. */
  readonly corrupt: boolean;
  /** Whether data is missing before it, or the source's clock started anew. */
  readonly discontinuity: boolean;
  /**
   * Whether it is decoded and not shown, as a container's edit list says: what follows refers to it, so that it cannot
   * be left out. It is timed before what is shown first; no frame comes of it.
   */
  readonly hidden: boolean;
  /** New codec parameters, as `VideoTrack.description`, where the stream changes to them here. */
  readonly description?: Uint8Array;
  /** What the track is from here on, where that is something else: its codec, its parameters, its rate. */
  readonly config?: MediaTrack;
}

/**
 * One decoded frame, in display order; usable until the next step of the iteration.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) if (event.kind === "frame") console.log(event.width, event.height);
 * ```
 */
export interface MediaFrame {
  /** What tells it from a packet. */
  readonly kind: "frame";
  /** When it is shown, in ns; strictly increasing. */
  readonly timestampNs: bigint;
  /** How long it is shown, in ns. */
  readonly durationNs: bigint;
  /**
   * When the picture was taken, in ns of UTC since 1970: as the source says (RTCP's sender reports), else when a live input's
   * packet came; null where that is not known, as for most files.
   */
  readonly captureTimeNs: bigint | null;
  /** What picture it is as a frame of the reader's format and size: for `WritableFrame.publish`. */
  readonly picture: PictureInit;
  /** Width in pixels of the decoded picture. */
  readonly width: number;
  /** Height in pixels of the decoded picture. */
  readonly height: number;
  /** Whether `copyInto` scales it: its size is not the reader's. */
  readonly scaled: boolean;
  /** Whether a part of it is made up: data is damaged or missing, here or since the last key frame. */
  readonly corrupt: boolean;
  /** Whether the source's clock started anew here, or data is missing before it. */
  readonly discontinuity: boolean;
  /**
   * Where the picture is on the GPU that decoded it, its planes as the reader's format; undefined when it was decoded
   * on the CPU or is of another size. For `WritableFrame.copyFrom`.
   */
  readonly devicePicture: DevicePicture | undefined;
  /**
   * Fills a frame of a ring that has the reader's format and size, the shortest way: in place on host memory, from
   * GPU to GPU where it was decoded there, else by way of the host.
   *
   * @throws {CuframesError} as {@linkcode MediaFrame.copyInto} and `WritableFrame.copyFrom`
   */
  writeTo(frame: WritableFrame): void;
  /**
   * Writes the pixels, as the reader's format and size.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT` for planes that cannot hold them, and after the iteration's
   * next step
   */
  copyInto(planes: readonly DestinationPlane[]): void;
}

/**
 * What a {@linkcode MediaReader} yields.
 *
 * @example
 * ```ts
 * import { openMedia } from "@cuframes/core/media";
 *
 * await using media = await openMedia("camera.mp4");
 * for await (const event of media) console.log(event.kind);
 * ```
 */
export type MediaEvent = MediaPacket | MediaFrame;
