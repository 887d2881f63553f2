// Copying pixels between planes and memory without padding.

import type { PlaneCopy } from "../core/mod.ts";
import type { Plane } from "./planes.ts";

/** Copies parts of planes to their places in `target`, which has been checked to have room. */
export function copyPlanes(planes: readonly Plane[], copies: readonly PlaneCopy[], target: Uint8Array): void {
  for (const [index, copy] of copies.entries()) {
    const plane = planes[index];
    if (plane === undefined) return;
    const first = copy.sourceY * plane.stride + copy.sourceX;
    if (copy.rowBytes === plane.stride && copy.stride === plane.stride) {
      target.set(plane.data.subarray(first, first + copy.rows * plane.stride), copy.offset);
      continue;
    }
    for (let row = 0; row < copy.rows; row++) {
      const start = first + row * plane.stride;
      target.set(plane.data.subarray(start, start + copy.rowBytes), copy.offset + row * copy.stride);
    }
  }
}
