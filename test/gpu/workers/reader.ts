// Reads every frame under a key, and tells what is in each plane.

import { createHash } from "node:crypto";
import { CuframesError, Subscriber } from "../../../mod.ts";
import { optionsOf, report } from "../../support/programs/worker.ts";
import { planeOf } from "../../support/pictures.ts";

/** One plane's pixels without padding. */
export interface Plane {
  sha256: string;
  /** The first of them, to be looked at where the hash is another. */
  first: number[];
}

/** Of a plane's pixels. */
export function describePlane(pixels: Uint8Array): Plane {
  return { sha256: createHash("sha256").update(pixels).digest("hex"), first: [...pixels.subarray(0, 16)] };
}

if (import.meta.main) {
  const { key, runtimeDirectory } = optionsOf<{ key: string; runtimeDirectory: string }>();
  using subscriber = await Subscriber.connect(key, { runtimeDirectory, mode: "ordered" });
  report("connected");
  try {
    while (true) {
      using frame = await subscriber.next();
      const planes = [];
      for (let plane = 0; plane < frame.planes.length; plane++) {
        planes.push(describePlane(await planeOf(frame, plane)));
      }
      report("frame", { sequence: Number(frame.sequence), planes });
    }
  } catch (error) {
    if (!(error instanceof CuframesError) || error.code !== "DISCONNECTED") throw error;
  }
}
