import process from "node:process";
import type { Frame, MemoryKind } from "../../mod.ts";

/** Where the frames of this run of the suite are: CUFRAMES_TEST_MEMORY, "host" unless that says "cuda". */
export const testMemory: MemoryKind = process.env.CUFRAMES_TEST_MEMORY === "cuda" ? "cuda" : "host";

/** For `skip` in tests whose claim is about views of host memory. */
export const notOnHost: readonly [condition: boolean, note: string] = [
  testMemory !== "host",
  "about host memory",
];

/** A frame's pixels without padding, as they are in its memory now. */
export async function pixelsOf(frame: Frame): Promise<Uint8Array<ArrayBuffer>> {
  await frame.toHost({ refresh: true });
  const pixels = new Uint8Array(frame.allocationSize());
  await frame.copyTo(pixels);
  return pixels;
}
