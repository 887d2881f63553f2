// Images that a real GL context draws, on the GPU: registered with CUDA, copied into frames, read by another process; and
// dma-bufs of frames. `npm run test:gpu` runs it; with CUFRAMES_TEST_GPU=double a rehearsal on the doubles.

import { existsSync, readdirSync } from "node:fs";
import process from "node:process";
import { expect, test } from "vitest";
import {
  closeDescriptor,
  CuframesError,
  devices,
  dmabufFormats,
  importDmabuf,
  type ImportedImage,
  importEglImage,
  inspect,
  type PixelFormat,
  type Publisher,
  trimImports,
} from "../../mod.ts";
import {
  claimsOf,
  createPublisher,
  cudaEnvironment,
  onHardware,
  refusalOf,
  runClaim,
  subscribe,
} from "../support/cuda.ts";
import type { TextureFormat } from "../support/gl.ts";
import { Gpu } from "../support/gpu.ts";
import { isCloseOnExec, sizeOf } from "../support/memfd.ts";
import { openPainter, type Painter } from "../support/painter.ts";
import { frameOf, planeOf } from "../support/pictures.ts";
import { type Process, runtimes, Stage } from "../support/processes.ts";
import { describePlane, type Plane } from "./workers/reader.ts";

const rehearsal = process.env.CUFRAMES_TEST_GPU === "double";

function describeImage({ fourcc, width, height, layout, planes }: ImportedImage): string {
  const [{ stride, rowBytes, rows, array, devicePointer } = planes[0]!] = planes;
  const place = array === undefined ? `devicePointer 0x${devicePointer?.toString(16)}` : "an array";
  return `${fourcc} ${width}×${height}, ${layout}: ${place}, stride ${stride}, ${rows} rows of ${rowBytes} bytes`;
}

/** A process that tells what it sees of a publisher's frames. */
async function startReader(stage: Stage, publisher: Publisher, runtime = runtimes[1]!): Promise<Process> {
  const options = { key: publisher.key, runtimeDirectory: process.env.CUFRAMES_RUNTIME_DIR };
  const reader = stage.start("../../gpu/workers/reader", options, { runtime, env: cudaEnvironment() });
  await reader.event("connected");
  return reader;
}

const sizes = [{ width: 1920, height: 1080 }, { width: 61, height: 35 }] as const;

/** One image for each plane of the frame. */
const pictures: [format: PixelFormat, planes: TextureFormat[]][] = [
  ["RGBA", ["ABGR8888"]],
  ["GRAY8", ["R8"]],
  ["NV12", ["R8", "GR88"]],
  // The bytes of the chroma plane, for drivers that register no image of two channels.
  ["NV12", ["R8", "R8"]],
];

/** Facts by picture; one that is wrong does not keep the others from being looked at. */
async function checkPictures(painter: Painter, stage: Stage): Promise<Record<string, string>> {
  using gpu = Gpu.open();
  const stream = gpu.stream();
  const seen: Record<string, string> = {};
  const failures: string[] = [];
  for (const { width, height } of sizes) {
    for (const [format, fourccs] of pictures) {
      const what = `${fourccs.join(" and ")} to ${format}, ${width}×${height}`;
      try {
        seen[what] = await checkPicture(painter, stage, stream, { format, width, height, fourccs });
      } catch (error) {
        if (fourccs.includes("GR88") && isRefusedByDriver(error)) {
          seen[what] = String(error);
          continue;
        }
        failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  if (failures.length > 0) {
    throw new Error(
      `${failures.join("\n")}\nDrawn by ${painter.name}. These were right: ${JSON.stringify(seen)}`,
    );
  }
  return seen;
}

/** Whether the driver, asked by its name, has no such images. */
function isRefusedByDriver(error: unknown): boolean {
  return error instanceof CuframesError && error.code === "UNSUPPORTED" &&
    error.message.includes("cuGraphicsEGLRegisterImage failed: CUDA_ERROR_NOT_SUPPORTED");
}

async function checkPicture(
  painter: Painter,
  stage: Stage,
  stream: bigint,
  { format, width, height, fourccs }: {
    format: PixelFormat;
    width: number;
    height: number;
    fourccs: TextureFormat[];
  },
): Promise<string> {
  using publisher = createPublisher({ width, height, format });
  const reader = await startReader(stage, publisher);
  using kept = new DisposableStack();
  const images = fourccs.map((fourcc, plane) => {
    const half = (length: number) => plane === 0 ? length : Math.ceil(length / 2);
    const channels = plane > 0 && fourcc === "R8" ? 2 : 1;
    const painting = kept.use(painter.create(fourcc, half(width) * channels, half(height)));
    return { painting, image: kept.use(importEglImage(painter.display, painting.image, { fourcc })) };
  });
  const description = images.map(({ image }) => describeImage(image)).join("; ");
  // Registered once, painted and copied again and again: on a stream of the caller's, and on the library's.
  for (const seed of [1, 2, 3, 4]) {
    using frame = publisher.acquire();
    for (const [plane, { painting, image }] of images.entries()) {
      painting.paint(seed);
      frame.copyFrom(image, {
        ...(images.length > 1 ? { plane } : {}),
        ...(seed % 2 === 0 ? {} : { stream }),
      });
    }
    frame.publish();
    // Before the images are painted again.
    const { planes } = await reader.event<{ planes: Plane[] }>("frame");
    const expected = images.map(({ painting }) => describePlane(painting.expected(seed)));
    if (JSON.stringify(planes) !== JSON.stringify(expected)) {
      throw new Error(
        `picture ${seed} of ${description}: the reader has ${JSON.stringify(planes)}, drawn was ${
          JSON.stringify(expected)
        }`,
      );
    }
  }
  return description;
}

/** Every descriptor of this process. */
const descriptorCount = () => readdirSync("/proc/self/fd").length;

const imports = rehearsal ? 300 : 10_000;

/** Whether EGL has a DRM node of this machine to import dma-bufs with. */
function hasDrmNode(): boolean {
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

const claim = claimsOf(import.meta.url);

function registerClaims(): void {
  claim("what GL draws is what another process reads", async () => {
    const stage = new Stage();
    try {
      using painter = openPainter();
      return { painter: painter.name, ...await checkPictures(painter, stage) };
    } finally {
      await stage.clear();
    }
  }, { timeout: 180_000 });

  claim("the driver tells the format of an image that nobody names", () => {
    using painter = openPainter();
    const told = (["ABGR8888", "R8"] as const).map((fourcc) => {
      using painting = painter.create(fourcc, 64, 32);
      using image = importEglImage(painter.display, painting.image);
      expect(image).toMatchObject({
        fourcc,
        width: 64,
        height: 32,
        memory: "cuda",
        device: devices()[0]!.uuid,
      });
      return describeImage(image);
    });
    return { told };
  });

  claim(`${imports} imports leave free memory and descriptors as they were`, () => {
    using gpu = Gpu.open();
    using painter = openPainter();
    using painting = painter.create("ABGR8888", 1920, 1080);
    using publisher = createPublisher({ width: 1920, height: 1080, format: "RGBA", policy: "wait" });
    const stream = gpu.stream();
    const importOnce = (copied: boolean) => {
      using image = importEglImage(painter.display, painting.image, { fourcc: "ABGR8888" });
      if (!copied) return;
      using frame = publisher.acquire();
      frame.copyFrom(image, { stream });
      frame.publish();
      // So that the next slot is free.
      gpu.synchronize(stream);
    };
    // Pools of the driver's fill up first.
    for (let round = 0; round < 100; round++) importOnce(round % 50 === 0);
    const before = { free: gpu.freeMemory(), descriptors: descriptorCount() };
    const start = performance.now();
    for (let round = 0; round < imports; round++) importOnce(round % 1000 === 0);
    const microseconds = (performance.now() - start) * 1000 / imports;
    const lost = before.free - gpu.freeMemory();
    // Less than one image in 10 000.
    expect(lost, `bytes of GPU memory lost by ${imports} imports`).toBeLessThan(4 << 20);
    expect(descriptorCount(), "open descriptors").toBe(before.descriptors);
    return { imports, "µs for one, with its close": Math.round(microseconds), "bytes lost": lost };
  }, { timeout: 280_000 });

  claim("a frame's dma-buf has the slot's size, and is closed on exec", async () => {
    using publisher = createPublisher({ width: 1920, height: 1080, format: "RGBA" });
    using subscriber = await subscribe(publisher);
    using frame = publisher.acquire();
    using seen = await frameOf(subscriber, frame.publish());
    const { slotSize } = await inspect(publisher.key);
    if (!devices()[0]!.dmabuf) {
      expect(refusalOf(() => seen.exportDmabuf())).toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringContaining("exports no memory as a dma-buf"),
      });
      return { "this GPU exports no dma-buf": devices()[0]!.name };
    }
    const before = descriptorCount();
    for (let round = 0; round < 100; round++) {
      const fd = seen.exportDmabuf();
      expect(sizeOf(fd)).toBe(slotSize);
      expect(isCloseOnExec(fd)).toBe(true);
      closeDescriptor(fd);
    }
    expect(descriptorCount()).toBe(before);
    return { slotSize };
  });

  claim(
    "a dma-buf is imported where EGL has a DRM node, and refused with the reason where it has none",
    async () => {
      using gpu = Gpu.open();
      using publisher = createPublisher({ width: 256, height: 64, format: "RGBA" });
      using subscriber = await subscribe(publisher);
      const pixels = new Uint8Array(256 * 64 * 4).map((_, index) => index * 7);
      using filled = publisher.acquire();
      filled.write(pixels);
      using seen = await frameOf(subscriber, filled.publish());
      if (!devices()[0]!.dmabuf) return { "this GPU exports no dma-buf to import": devices()[0]!.name };
      const { offset, stride } = publisher.planes[0]!;
      const fd = seen.exportDmabuf();
      const picture = { width: 256, height: 64, fourcc: "ABGR8888", planes: [{ fd, offset, stride }] };
      // EGL and its threads are there from now on.
      const outcome = (() => {
        try {
          return importDmabuf({ ...picture, memory: "cuda" });
        } catch (error) {
          return error as Error;
        }
      })();
      const before = descriptorCount();
      const free = gpu.freeMemory();
      if (onHardware && hasDrmNode()) {
        if (outcome instanceof Error) throw outcome;
        using copy = publisher.acquire();
        copy.copyFrom(outcome);
        using read = await frameOf(subscriber, copy.publish());
        expect(await planeOf(read, 0)).toEqual(pixels);
        const imported = describeImage(outcome);
        outcome.close();
        trimImports();
        closeDescriptor(fd);
        return { imported, pairs: dmabufFormats({ memory: "cuda" }).length };
      }
      for (let round = 0; round < 20; round++) {
        expect(refusalOf(() => importDmabuf({ ...picture, memory: "cuda" }))).toMatchObject({
          code: "UNSUPPORTED",
          message: expect.stringMatching(
            /eglCreateImageKHR failed: EGL_BAD_ALLOC\. This GPU has no DRM node here/,
          ),
        });
      }
      expect(descriptorCount()).toBe(before);
      expect(Math.abs(free - gpu.freeMemory())).toBeLessThan(4 << 20);
      // Of its own accord the library reads it with the CPU, where its exporter lets it.
      let automatic: string;
      try {
        using image = importDmabuf(picture);
        automatic = image.memory;
      } catch (error) {
        automatic = String(error);
      }
      closeDescriptor(fd);
      return { refusal: String(outcome), 'memory: "auto"': automatic };
    },
    { environment: { EGL_DOUBLE_DRM_NODE: "", EGL_DOUBLE_REFUSE: "0x3003" } },
  );
}

if (onHardware || rehearsal) registerClaims();
else test.skip("images on a GPU (skipped: `npm run test:gpu` runs it)", () => {});

await runClaim();
