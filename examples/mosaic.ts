// Publishes the newest frames of up to four keys as one picture, each in its quarter: mosaic.ts OUTPUT KEY [KEY…]

import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { type Frame, Publisher, Subscriber } from "../mod.ts";

const [output = "mosaic", ...keys] = process.argv.slice(2);
const cameras = await Promise.all(
  keys.slice(0, 4).map((key) => Subscriber.connect(key, { packets: false, timeout: 30_000 })),
);
const [first] = cameras;
if (first === undefined) throw new Error("usage: mosaic.ts OUTPUT KEY [KEY…]");
const { codedWidth: width, codedHeight: height } = first;
for (const { key, format, codedWidth, codedHeight } of cameras) {
  if (format === "NV12" && codedWidth === width && codedHeight === height) continue;
  throw new Error(
    `${key} is ${format} ${codedWidth}×${codedHeight}: this example wants NV12 ${width}×${height}`,
  );
}
using publisher = Publisher.create({ key: output, width: width * 2, height: height * 2, format: "NV12" });
const newest = new Map<Subscriber, Frame>();

/** Keeps the newest frame of a camera leased, until it ends. */
async function follow(camera: Subscriber): Promise<void> {
  for await (const frame of camera) {
    newest.get(camera)?.close();
    newest.set(camera, frame);
  }
}

let running = true;
const ended = Promise.all(cameras.map(follow)).finally(() => running = false);
for (let time = 0; running; time += 40_000) {
  using picture = publisher.acquire();
  for (const [index, plane] of picture.planes.entries()) {
    plane.data.fill(index === 0 ? 16 : 128); // black where there is no picture yet
    for (const [place, camera] of cameras.entries()) {
      const source = newest.get(camera)?.planes[index];
      if (source === undefined) continue;
      const left = (place % 2) * width;
      const top = (place >> 1) * source.rows;
      for (let row = 0; row < source.rows; row++) {
        const line = source.data.subarray(row * source.stride, row * source.stride + width);
        plane.data.set(line, (top + row) * plane.stride + left);
      }
    }
  }
  // All are taken to be what the first one says: this example neither converts nor turns.
  const { colorSpace = null, sampleAspectRatio = null } = newest.get(first) ?? {};
  picture.publish({ timestamp: time, colorSpace, sampleAspectRatio });
  await delay(40);
}
await ended;
