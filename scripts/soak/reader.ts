// The first example of README.md, as it stands: `reader.ts KEY`.

import process from "node:process";
import { type Frame, Subscriber } from "../../mod.ts";

const [key = ""] = process.argv.slice(2);

/** A detector that finds nothing, at once. */
function detect(frame: Frame): void {
  void frame.planes[0]?.data;
}

using camera = await Subscriber.connect(key);
for await (using frame of camera) {
  await detect(frame);
}
