/** This file makes a reader's frames of its decoder's pictures, wherever those are. */
import type { Frame as Picture } from "node-av";
import { invalid, type PixelFormat, planCopy } from "../core/mod.ts";
import type { WritableFrame } from "../frames/mod.ts";
import type { Hardware } from "./hardware.ts";
import type { MediaFrame } from "./media_event.ts";
import type { NodeAv } from "./node_av.ts";
import type { OpenMediaOptions } from "./opening.ts";
import { type DestinationPlane, gpuFormat, PictureWriter, preferredFormat } from "./picture.ts";
import { PictureDescriber, type PictureTrack } from "./picture_description.ts";

/** What is known of a frame beside its picture. */
export type FrameTimes = Pick<
  MediaFrame,
  "timestampNs" | "durationNs" | "captureTimeNs" | "corrupt" | "discontinuity"
>;

/** Frames of one format and size, one after the other: each may be used until the next one is made. */
export class DecodedFrames implements Disposable {
  readonly #hardware: Hardware | undefined;
  /** Of the pictures that the GPU decodes. */
  readonly #gpuFormat: PixelFormat | undefined;
  readonly #writer: PictureWriter;
  readonly #describer: PictureDescriber;
  /** A picture without padding, on its way from the CPU's decoder to a GPU's ring. */
  #scratch: { planes: DestinationPlane[]; bytes: Uint8Array } | undefined;
  /** The frame that may be used now. */
  #current: { usable: boolean } | undefined;

  readonly format: PixelFormat;
  readonly width: number;
  readonly height: number;

  /** @param track what is not asked for is as it says */
  constructor(
    av: NodeAv,
    track: PictureTrack,
    options: OpenMediaOptions,
    hardware: Hardware | undefined,
  ) {
    const { parameters } = track;
    this.#hardware = hardware;
    this.#gpuFormat = gpuFormat(av, parameters.format);
    this.format = options.format ?? preferredFormat(av, parameters.format);
    this.width = options.width ?? parameters.width;
    this.height = options.height ?? parameters.height;
    this.#writer = new PictureWriter(av, this.format, this.width, this.height);
    this.#describer = new PictureDescriber(av, track, this.format, this);
  }

  /** The frame of a picture, which is valid until the decoder's next one. */
  make(picture: Picture, times: FrameTimes): MediaFrame {
    const { width, height } = picture;
    const current = this.#current = { usable: true };
    const hardware = this.#hardware?.holds(picture) ? this.#hardware : undefined;
    const description = this.#describer.describe(picture);
    const scaled = width !== this.width || height !== this.height;
    const checkUsable = () => {
      if (!current.usable) throw invalid("this frame's iteration has gone on: copy it before the next step");
    };
    const copyInto = (planes: readonly DestinationPlane[]) => {
      checkUsable();
      this.#writer.write(hardware?.download(picture) ?? picture, planes);
    };
    const devicePicture = hardware && !scaled && this.#gpuFormat === this.format
      ? hardware.locate(picture)
      : undefined;
    const writeTo = (frame: WritableFrame) => {
      checkUsable();
      if (frame.memory === "host") return copyInto(frame.planes);
      if (devicePicture) return frame.copyFrom(devicePicture);
      const { planes, bytes } = this.#scratch ??= packedPlanes(this.format, this.width, this.height);
      copyInto(planes);
      frame.write(bytes);
    };
    return {
      ...{ kind: "frame", ...times, width, height, scaled },
      ...{ picture: description, devicePicture, writeTo, copyInto },
    };
  }

  /** The last frame may not be used any more. */
  retire(): void {
    if (this.#current) this.#current.usable = false;
    this.#current = undefined;
  }

  /** Frees what pictures are converted with. */
  [Symbol.dispose](): void {
    this.retire();
    this.#writer[Symbol.dispose]();
  }
}

/** Memory for a picture without padding, as planes. */
function packedPlanes(
  format: PixelFormat,
  width: number,
  height: number,
): { planes: DestinationPlane[]; bytes: Uint8Array } {
  const { planes, size } = planCopy(format, width, height);
  const bytes = new Uint8Array(size);
  return {
    planes: planes.map(({ offset, stride, rows }) => ({
      data: bytes.subarray(offset, offset + stride * rows),
      stride,
      rows,
    })),
    bytes,
  };
}
