// Pictures turned by arithmetic: what WebCodecs says of rotation and flip.

import type { Rotation } from "../../mod.ts";

export interface Turn {
  readonly rotation: Rotation;
  readonly flip: boolean;
}

export const orientations: readonly Turn[] = ([0, 90, 180, 270] as const).flatMap((rotation) => [
  { rotation, flip: false },
  { rotation, flip: true },
]);

/** A plane of samples of so many bytes each, turned clockwise, and then its left and right swapped. */
export function turnedSamples(
  samples: Uint8Array,
  width: number,
  bytes: number,
  { rotation, flip }: Turn,
): { width: number; height: number; samples: Uint8Array } {
  const height = samples.length / bytes / width;
  const sideways = rotation % 180 !== 0;
  const [turnedWidth, turnedHeight] = sideways ? [height, width] : [width, height];
  const turned = new Uint8Array(samples.length);
  for (let y = 0; y < turnedHeight; y++) {
    for (let x = 0; x < turnedWidth; x++) {
      const column = flip ? turnedWidth - 1 - x : x;
      const [fromX, fromY] = {
        0: [column, y],
        90: [y, height - 1 - column],
        180: [width - 1 - column, height - 1 - y],
        270: [width - 1 - y, column],
      }[rotation] as [number, number];
      const from = (fromY * width + fromX) * bytes;
      turned.set(samples.subarray(from, from + bytes), (y * turnedWidth + x) * bytes);
    }
  }
  return { width: turnedWidth, height: turnedHeight, samples: turned };
}
