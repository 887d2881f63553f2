// Images of GL's in frames: what the import and the copy take. Nanoseconds.

import { importEglImage, monotonicNow, Publisher } from "../../../mod.ts";
import { Gpu } from "../../../test/support/gpu.ts";
import { openPainter } from "../../../test/support/painter.ts";
import { serve } from "../../workers/serve.mjs";

/** How a picture was copied, by the library and by the driver alone. */
export interface Imports {
  copyNs: number[];
  bareNs: number[];
  layout: string;
  /** Of the picture. */
  bytes: number;
}

interface Size {
  width: number;
  height: number;
  count: number;
}

const warmup = 50;
const gpu = Gpu.open();
const stream = gpu.stream();
const painter = openPainter();

function repeat(count: number, act: () => void): number[] {
  const elapsed: number[] = [];
  for (let index = -warmup; index < count; index++) {
    const before = monotonicNow();
    act();
    if (index >= 0) elapsed.push(Number(monotonicNow() - before));
  }
  return elapsed;
}

await serve({
  /** From the call to the end of the copy on the GPU, into one frame again and again. */
  copy({ width, height, count }: Size): Imports {
    using painting = painter.create("ABGR8888", width, height);
    using image = importEglImage(painter.display, painting.image, { fourcc: "ABGR8888" });
    using publisher = Publisher.create({ key: "importer", width, height, format: "RGBA", memory: "cuda" });
    using frame = publisher.acquire();
    const [{ array, devicePointer, stride, rowBytes, rows } = image.planes[0]!] = image.planes;
    const target = { address: frame.devicePointer!, stride: publisher.planes[0]!.stride };
    const source = array === undefined ? { address: devicePointer!, stride } : { array };
    const bare = () => {
      gpu.copyPicture(target, source, { width: rowBytes, rows }, stream);
      gpu.synchronize(stream);
    };
    const copy = () => {
      frame.copyFrom(image, { stream });
      gpu.synchronize(stream);
    };
    // In turns, so that both see the same clocks.
    const copyNs: number[] = [];
    const bareNs: number[] = [];
    for (let round = 0; round < 5; round++) {
      bareNs.push(...repeat(Math.ceil(count / 5), bare));
      copyNs.push(...repeat(Math.ceil(count / 5), copy));
    }
    return { copyNs, bareNs, layout: image.layout, bytes: rowBytes * rows };
  },

  importOnly({ width, height, count }: Size): number[] {
    using painting = painter.create("ABGR8888", width, height);
    return repeat(count, () => {
      importEglImage(painter.display, painting.image, { fourcc: "ABGR8888" }).close();
    });
  },
});
