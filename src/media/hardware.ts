/** This file lets a GPU decode: NVDEC through FFmpeg, in the primary context, which frame rings use too. */
import type { Frame, HardwareDeviceContext } from "node-av";
import { CuframesError } from "../core/mod.ts";
import { checked, library } from "../ffi/mod.ts";
import type { DevicePicture } from "../frames/mod.ts";
import { check, type NodeAv } from "./node_av.ts";

/** FFmpeg's AVERROR(ENOTSUP). */
const NOT_SUPPORTED = -95;

/** A CUDA device as FFmpeg's decoders take it. */
export class Hardware {
  readonly #av: NodeAv;
  readonly device: HardwareDeviceContext;
  readonly #downloaded: Frame;
  /** The primary context, where this library and not FFmpeg holds it. */
  readonly #context: number | undefined;

  private constructor(av: NodeAv, device: HardwareDeviceContext, context: number | undefined) {
    this.#av = av;
    this.device = device;
    this.#context = context;
    this.#downloaded = new av.Frame();
    this.#downloaded.alloc();
  }

  /**
   * Opens a device by its number in this process.
   *
   * @throws {CuframesError} `UNSUPPORTED`: FFmpeg cannot use it
   */
  static open(av: NodeAv, ordinal: number): Hardware {
    const device = new av.HardwareDeviceContext();
    const create = (context: Record<string, string>) =>
      device.create(av.AV_HWDEVICE_TYPE_CUDA, String(ordinal), av.Dictionary.fromObject(context));
    let result = create({ primary_ctx: "1" });
    let context: number | undefined;
    // FFmpeg refuses a primary context that somebody made with flags other than its own; the current one it takes as it is.
    if (result === NOT_SUPPORTED) {
      context = checked(
        library().symbols.cuframes_context_open(ordinal),
        `using the context of CUDA device ${ordinal}`,
      );
      result = inContext(context, () => create({ current_ctx: "1" }));
    }
    if (result < 0) {
      device.free();
      if (context !== undefined) library().symbols.cuframes_context_close(context);
      throw new CuframesError(
        "UNSUPPORTED",
        `decoding on CUDA device ${ordinal}: ${av.FFmpegError.strerror(result)}`,
      );
    }
    return new Hardware(av, device, context);
  }

  /** Whether a decoder's picture is on the GPU: a codec that the GPU cannot decode comes as a software picture. */
  holds(picture: Frame): boolean {
    return picture.format === this.#av.AV_PIX_FMT_CUDA;
  }

  /**
   * Where a picture on the GPU is. Its planes are ordered by the legacy default stream, and stay valid until the
   * decoder's next picture has passed on that stream.
   */
  locate(picture: Frame): DevicePicture {
    const { runtime } = library();
    const addresses = picture.data!.map((plane) => runtime.addressOf(plane));
    const start = addresses[0]!;
    return {
      devicePointer: start,
      planes: addresses.map((address, index) => ({
        offset: Number(address - start),
        stride: picture.linesize[index]!,
      })),
      stream: 0n,
    };
  }

  /** The picture in host memory; valid until the next call. */
  download(picture: Frame): Frame {
    this.#downloaded.unref();
    check(this.#av, picture.hwframeTransferDataSync(this.#downloaded), "copying a picture from the GPU");
    check(this.#av, this.#downloaded.copyProps(picture), "copying a picture's properties");
    return this.#downloaded;
  }

  close(): void {
    this.#downloaded.free();
    this.device.free();
    if (this.#context !== undefined) library().symbols.cuframes_context_close(this.#context);
  }
}

/** Makes a context current on this thread for the duration of a call. */
function inContext<T>(context: number, call: () => T): T {
  const { symbols } = library();
  checked(symbols.cuframes_context_enter(context), "entering a CUDA context");
  try {
    return call();
  } finally {
    symbols.cuframes_context_leave(context);
  }
}
