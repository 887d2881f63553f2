// Reads every frame and looks at each of its bytes.

import process from "node:process";
import { Subscriber } from "../../mod.ts";

const [key = ""] = process.argv.slice(2);
using subscriber = await Subscriber.connect(key, { mode: "ordered", timeout: 30_000 });
let whole = 0;
for await (using frame of subscriber) {
  const pixels = new Uint8Array(frame.allocationSize());
  await frame.copyTo(pixels);
  const right = pixels.length === 320 * 240 && pixels.every((byte) => byte === frame.timestamp % 251);
  if (right && frame.timestamp === Number(frame.sequence)) whole++;
}
console.log(`whole ${whole}`);
