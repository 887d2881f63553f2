// Publishes frames that say what is in them, once as many subscribers as are announced are there.

import process from "node:process";
import { Publisher } from "../../mod.ts";

const [key = "", subscribers, frames] = process.argv.slice(2);
using publisher = Publisher.create({ key, width: 320, height: 240, format: "GRAY8", policy: "wait" });
console.log("ready");
while (publisher.stats().subscribers < Number(subscribers)) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
for (let index = 1; index <= Number(frames); index++) {
  const frame = await publisher.acquireAsync({ timeout: 30_000 });
  for (const { data } of frame.planes) data.fill(index % 251);
  frame.publish({ timestamp: index });
}
