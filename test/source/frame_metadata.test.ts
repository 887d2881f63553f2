// What a source says of its frames' colours, and what is made of it.

import { expect, test } from "vitest";
import { coloursOfFrame, encodeMetadata } from "../../src/source/frame_metadata.ts";

test("a frame's colours are those asked for, else those its metadata states", () => {
  const stated = encodeMetadata({
    colorSpace: { primaries: null, transfer: null, matrix: "bt709", fullRange: true },
  });
  const nv12 = (metadata: Uint8Array) => ({ format: "NV12", metadata: metadata.slice() } as const);
  expect(coloursOfFrame({}, nv12(stated))).toEqual({ matrix: "bt709", range: "full" });
  expect(coloursOfFrame({ matrix: "bt601", range: "limited" }, nv12(stated))).toEqual({
    matrix: "bt601",
    range: "limited",
  });
  expect(coloursOfFrame({}, { ...nv12(stated), format: "GRAY8" })).toEqual({ matrix: "auto" });
  // Metadata is whatever a publisher writes.
  const others = [
    "",
    "\u{0}",
    "null",
    "[]",
    '{"colorSpace":7}',
    '{"colorSpace":{"matrix":"__proto__","fullRange":1}}',
  ];
  for (const text of others) {
    expect(coloursOfFrame({}, nv12(new TextEncoder().encode(text)))).toEqual({ matrix: "auto" });
  }
});
