/** Decoding on a GPU: NVDEC through FFmpeg, in the primary context, which frame rings use too. */
import type { Frame, HardwareDeviceContext } from "node-av";
import { CuframesError } from "../errors.ts";
import { library } from "../ffi/library.ts";
import type { DevicePicture } from "../publisher.ts";
import { check, type NodeAv } from "./node_av.ts";

/** A CUDA device as FFmpeg's decoders take it. */
export class Hardware {
  readonly #av: NodeAv;
  readonly device: HardwareDeviceContext;
  readonly #downloaded: Frame;

  private constructor(av: NodeAv, device: HardwareDeviceContext) {
    this.#av = av;
    this.device = device;
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
    const options = av.Dictionary.fromObject({ primary_ctx: "1" });
    const result = device.create(av.AV_HWDEVICE_TYPE_CUDA, String(ordinal), options);
    if (result < 0) {
      device.free();
      throw new CuframesError(
        "UNSUPPORTED",
        `decoding on CUDA device ${ordinal}: ${av.FFmpegError.strerror(result)}`,
      );
    }
    return new Hardware(av, device);
  }

  /** Whether a decoder's picture is on the GPU: a codec that the GPU cannot decode comes as a software picture. */
  holds(picture: Frame): boolean {
    return picture.format === this.#av.AV_PIX_FMT_CUDA;
  }

  /**
   * Where a picture on the GPU is. Its planes are ordered by the legacy default stream, and stay valid until the decoder's
   * next picture has passed on that stream.
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
  }
}
