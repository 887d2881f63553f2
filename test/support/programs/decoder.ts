// Decodes a file again and again, and reports the resident set after each pass.

import process from "node:process";
import { openMedia, type OpenMediaOptions } from "../../../media.ts";
import { optionsOf, report } from "./worker.ts";

export interface Options {
  input: string;
  passes: number;
  /** What each frame is copied into. */
  width: number;
  height: number;
  media?: OpenMediaOptions;
}

const { input, passes, width, height, media } = optionsOf<Options>();
const pixels = new Uint8Array(width * height * 3 / 2);
const planes = [
  { data: pixels.subarray(0, width * height), stride: width, rows: height },
  { data: pixels.subarray(width * height), stride: width, rows: height / 2 },
];
const resident: number[] = [];
for (let pass = 0; pass < passes; pass++) {
  await using reader = await openMedia(input, media);
  for await (const event of reader) if (event.kind === "frame") event.copyInto(planes);
  resident.push(process.memoryUsage().rss);
}
report("decoded", { resident });
