// Publishes a camera under a key until Ctrl-C, and opens it again whenever it is lost: source.ts INPUT [KEY]

import { existsSync } from "node:fs";
import process from "node:process";
import { CameraSource } from "../source.ts";

const [input = "rtsp://camera.local/stream", key = "cam"] = process.argv.slice(2);
// A file stands in for a camera: at its own pace, again and again.
const isFile = existsSync(input) && !input.startsWith("/dev/");

await using source = CameraSource.start({
  input,
  key,
  realtime: isFile,
  loop: isFile,
  timeout: 5000, // a camera that is silent for 5 s is lost
  maxDelay: 10_000, // and is tried again every 10 s at the least
  onEvent(event) {
    if (event.kind === "connected") console.log(`${event.codec} ${event.width}×${event.height} as ${key}`);
    if (event.kind === "disconnected") console.log(`${event.reason}: again in ${event.retryIn} ms`);
  },
});
process.once("SIGINT", () => source.close());
await source.closed;
const { frames, packets, reconnects } = source.stats();
console.log(`${frames} frames and ${packets} packets in ${reconnects + 1} connections`);
