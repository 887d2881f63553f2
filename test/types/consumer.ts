// A user's module, type-checked against the package in projects with the types of one runtime each, never run. Every
// export has its type written out, as `isolatedDeclarations` asks for.

import {
  CuframesError,
  type CuframesErrorCode,
  type DecoderConfig,
  type Device,
  devices,
  type Frame,
  inspect,
  type monotonicNow,
  type Packet,
  type PictureInit,
  type PixelFormat,
  type Plane,
  type PlaneLayout,
  type Publisher,
  type PublisherOptions,
  type PublisherReport,
  Subscriber,
  type SubscriberOptions,
  type SubscriberStats,
  type WritableFrame,
} from "cuframes";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
/** Fails to compile where a type is another one, `any` included. */
function is<_T extends true>(): void {}

is<Same<Frame["format"], PixelFormat>>();
is<Same<Frame["timestamp"], number>>();
is<Same<Frame["sequence"], bigint>>();
is<Same<Frame["devicePointer"], bigint | undefined>>();
is<Same<Frame["planes"], readonly Plane[]>>();
is<Same<Packet["type"], "key" | "delta">>();
is<Same<Plane["stride"], number>>();
is<Same<ReturnType<typeof monotonicNow>, bigint>>();
is<Same<Awaited<ReturnType<Subscriber["next"]>>, Frame>>();
is<Same<Awaited<ReturnType<Frame["copyTo"]>>, PlaneLayout[]>>();
is<Same<ReturnType<Publisher["acquire"]>, WritableFrame>>();
is<Same<CuframesError["code"], CuframesErrorCode>>();

export const options: PublisherOptions = { key: "cam", width: 640, height: 480, format: "NV12" };

// @ts-expect-error -- with exactOptionalPropertyTypes what is absent is not undefined
export const inexact: SubscriberOptions = { name: undefined };

export async function firstFrame(key: string, signal: AbortSignal): Promise<Uint8Array> {
  using camera = await Subscriber.connect(key, { mode: "ordered", timeout: 1000, signal });
  using frame = await camera.next({ timeout: 1000, signal });
  const pixels = new Uint8Array(frame.allocationSize());
  await frame.copyTo(pixels, { rect: { x: 0, y: 0, width: 16, height: 16 } });
  return pixels;
}

/** What a frame says can be said of another one. */
export function pictureOf(frame: Frame): PictureInit {
  const { colorSpace, visibleRect, sampleAspectRatio, rotation, flip, fieldOrder, chromaLocation } = frame;
  return { colorSpace, visibleRect, sampleAspectRatio, rotation, flip, fieldOrder, chromaLocation };
}

export function publishOne(publisher: Publisher): void {
  using frame = publisher.acquire();
  for (const plane of frame.planes) plane.data.fill(0);
  frame.publish({ timestamp: 0, metadata: new Uint8Array(1), rotation: 90, colorSpace: { matrix: "bt709" } });
}

export async function count(camera: Subscriber): Promise<SubscriberStats> {
  for await (using _frame of camera) break;
  return camera.stats();
}

export async function decoderConfig(camera: Subscriber): Promise<DecoderConfig> {
  using packets = camera.packets({ wait: true });
  const packet: Packet = await packets.next();
  packet.copyTo(new Uint8Array(packet.byteLength));
  return packets.decoderConfig;
}

export async function report(key: string): Promise<[PublisherReport, readonly Device[]]> {
  try {
    return [await inspect(key), devices()];
  } catch (error) {
    if (error instanceof CuframesError && error.code === "NOT_FOUND") return [await inspect(key), []];
    throw error;
  }
}
