import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CuframesError, devices, Publisher } from "../../mod.ts";
import { type MediaFrame, openMedia } from "../../media.ts";
import { stages } from "../support/processes.ts";

const stage = stages();
const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url).href);
const inputs = [
  path("../fixtures/clip.mp4"),
  path("../../../shared/media/bottle-detection.mp4"),
  path("../../../shared/media/car-detection.mp4"),
];

function hasGpu(): boolean {
  try {
    // The double decodes nothing.
    return devices().some(({ name }) => !name.startsWith("Test Double"));
  } catch (error) {
    if (error instanceof CuframesError && error.code === "UNSUPPORTED") return false;
    throw error;
  }
}

/** A frame's picture without padding. */
function pixels(frame: MediaFrame, width: number, height: number): Uint8Array {
  const chroma = Math.ceil(width / 2) * 2;
  const luma = width * height;
  const bytes = new Uint8Array(luma + chroma * Math.ceil(height / 2));
  frame.copyInto([
    { data: bytes.subarray(0, luma), stride: width, rows: height },
    { data: bytes.subarray(luma), stride: chroma, rows: Math.ceil(height / 2) },
  ]);
  return bytes;
}

describe.skipIf(!hasGpu())("decoding on the GPU", () => {
  for (const input of inputs) {
    it.skipIf(!existsSync(input))(
      `puts the software decoder's pixels into the slots: ${input.split("/").at(-1)}`,
      async () => {
        await using software = await openMedia(input, { format: "NV12" });
        await using hardware = await openMedia(input, { format: "NV12", hardware: "cuda" });
        const { width, height } = hardware;
        const runtimeDirectory = stage().directory;
        using publisher = Publisher.create({
          key: "decoded",
          width,
          height,
          memory: "cuda",
          runtimeDirectory,
        });
        const expected = software[Symbol.asyncIterator]();
        const nextFrame = async () => {
          for (;;) {
            const { value, done } = await expected.next();
            if (done) return undefined;
            if (value.kind === "frame") return value;
          }
        };
        let frames = 0;
        for await (const event of hardware) {
          if (event.kind !== "frame") continue;
          const reference = await nextFrame();
          expect(event.timestampNs).toBe(reference?.timestampNs);
          expect(event.devicePicture).toBeDefined();
          using slot = publisher.acquire();
          event.writeTo(slot);
          const difference = Buffer.compare(slot.read(), pixels(reference!, width, height));
          expect(difference, `frame ${frames}`).toBe(0);
          slot.publish({ timestampNs: event.timestampNs });
          frames++;
        }
        expect(await nextFrame()).toBeUndefined();
        expect(frames).toBeGreaterThan(0);
      },
    );
  }
});
