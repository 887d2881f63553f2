// Presentation times of streams that have none, held against the MP4 that the same encoder has made.

import { Buffer } from "node:buffer";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../scripts/toolchain.mjs";
import type { ClipOptions } from "../../scripts/make_clip.ts";
import { joinUnits } from "../../src/core/annexb.ts";
import { bits } from "../support/bits.ts";
import { clip, directory, expectUsable, md5, readAll, SECOND, sorted, times } from "../support/media.ts";

const FRAME = SECOND / 25n;
const CASES = join(root, "../shared/cases");

/** Encoders' settings that reorder pictures, each in another way; x264's and x265's parameters. */
const SETTINGS: [encoder: "libx264" | "libx265", parameters: string][] = [
  ...["none", "strict", "normal"].flatMap((pyramid) =>
    [1, 2, 3, 5, 8].map((count) =>
      ["libx264", `keyint=13:bframes=${count}:b-adapt=0:b-pyramid=${pyramid}`] as ["libx264", string]
    )
  ),
  ["libx264", "keyint=250:bframes=16:b-adapt=0:b-pyramid=normal:ref=16"],
  ["libx264", "keyint=12:bframes=3:open-gop=1"],
  ["libx264", "keyint=12:bframes=3:open-gop=1:b-pyramid=strict:bluray-compat=1"],
  ["libx264", "keyint=20:bframes=4:scenecut=90"],
  ["libx264", "keyint=20:bframes=3:tff=1"],
  ["libx264", "keyint=250:bframes=3:intra-refresh=1"],
  ["libx264", "keyint=1:bframes=0"],
  ...[1, 3, 4].map((count) =>
    ["libx265", `keyint=13:min-keyint=13:bframes=${count}:b-adapt=0:open-gop=0`] as ["libx265", string]
  ),
  ["libx265", "keyint=13:min-keyint=13:bframes=4:b-adapt=0:b-pyramid=0:open-gop=1"],
  ["libx265", "keyint=20:bframes=4:open-gop=0:radl=2"],
];

function optionsOf(encoder: "libx264" | "libx265", parameters: string): ClipOptions {
  return {
    encoder,
    frames: 77,
    encoderOptions: encoder === "libx264"
      // Its interface would set the counts, the parameters do not.
      ? { preset: "veryfast", bf: "3", "x264-params": `threads=1:${parameters}` }
      : { preset: "ultrafast", "x265-params": `log-level=none:pools=1:${parameters}` },
  };
}

/** Sets of a picture of two macroblocks, one above the other: each field has one. */
const fieldSets = [
  bits().u(8, 77).u(8, 0).u(8, 30).ue(0, 0, 0, 2, 2).u(1, 0).ue(0, 0).u(1, 0).u(1, 0).u(1, 1).u(1, 0).u(1, 0)
    .unit(0x67),
  bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).se(0, 0, 0).u(3, 0).unit(0x68),
];

/** Two fields of H.264: a grey ramp and its copy, or two copies. @param kind `slice_type`: 7 I, 5 P, 6 B */
function fieldPair(kind: number, frame: number, count: number, luma = 0): Uint8Array[] {
  return [0, 1].map((bottom) => {
    const isIdr = kind === 7 && bottom === 0;
    const type = isIdr ? 7 : kind === 7 ? 5 : kind;
    const slice = bits().ue(0, type, 0).u(4, frame).u(1, 1).u(1, bottom);
    if (isIdr) slice.ue(0);
    slice.u(6, count + bottom);
    if (type === 6) slice.u(1, 1).u(3, 0);
    if (type === 5) slice.u(3, 0);
    if (isIdr) slice.u(2, 0);
    slice.se(0);
    if (!isIdr) return slice.ue(1).unit(type === 6 ? 0x01 : 0x61);
    const samples = Array.from({ length: 384 }, (_, at) => at < 256 ? 20 + (luma + at) % 200 : 128);
    return slice.ue(25).bytes(samples).unit(0x65);
  });
}

/** Times from the first frame on. */
const relative = (all: bigint[], first: bigint) => all.map((time) => time - first);

describe("presentation times", () => {
  it.each(SETTINGS)("of %s with %s are those of its MP4", async (encoder, parameters) => {
    const options = optionsOf(encoder, parameters);
    const name = `${encoder}-${parameters.replace(/\W/g, "_")}`;
    const whole = await readAll(await clip(`${name}.mp4`, options));
    expect(whole.frames).toHaveLength(77);
    const extensions = encoder === "libx264" ? ["h264", "avi"] : ["hevc"];
    for (const extension of extensions) {
      const read = await readAll(await clip(`${name}.${extension}`, options));
      expectUsable(read);
      const first = read.frames[0]!.timestampNs;
      expect(relative(times(read.frames), first)).toEqual(times(whole.frames));
      expect(relative(times(read.packets), first)).toEqual(times(whole.packets));
    }
  });

  it.each([["h264", "libx264"], ["hevc", "libx265"]] as const)(
    "of %s go on where one picture alone is a sequence, and the next again",
    async (extension, encoder) => {
      const options = optionsOf(
        encoder,
        encoder === "libx264" ? "keyint=250:bframes=2" : "keyint=250:bframes=2:open-gop=0",
      );
      const [single, long] = [
        readFileSync(await clip(`single.${extension}`, { ...options, frames: 1 })),
        readFileSync(await clip(`long.${extension}`, { ...options, frames: 20 })),
      ];
      const path = join(directory, `joined.${extension}`);
      writeFileSync(path, Buffer.concat([single, long, single, single, single, long, single]));
      const read = await readAll(path);
      expect([read.packets.length, read.frames.length]).toEqual([45, 45]);
      expectUsable(read);
      const first = read.frames[0]!.timestampNs;
      const expected = Array.from({ length: 45 }, (_, index) => BigInt(index) * FRAME);
      expect(relative(times(read.frames), first)).toEqual(expected);
      expect(relative(sorted(times(read.packets)), first)).toEqual(expected);
    },
  );

  it.each([["B-fields", true], ["none", false]])(
    "of fields in packets of their own are half a frame apart, with %s",
    async (_, reorders) => {
      const path = join(directory, `fields-${reorders}.h264`);
      const sequence = (index: number) => [
        ...fieldPair(7, 0, 0, 30 * index),
        ...[1, 2, 3].flatMap((frame) =>
          reorders
            ? [...fieldPair(5, frame, 8 * frame), ...fieldPair(6, frame + 1, 8 * frame - 4)]
            : fieldPair(5, frame, 8 * frame)
        ),
      ];
      const units = [...fieldSets, ...[0, 1, 2, 3, 4].flatMap(sequence)];
      writeFileSync(path, joinUnits(units.map((data) => ({ type: data[0]! & 31, data }))));
      const read = await readAll(path);
      const count = reorders ? 35 : 20;
      expect([read.packets.length, read.frames.length]).toEqual([2 * count, count]);
      expectUsable(read);
      const first = read.frames[0]!.timestampNs;
      expect(relative(times(read.frames), first))
        .toEqual(Array.from({ length: count }, (_, index) => BigInt(index) * FRAME));
      expect(relative(sorted(times(read.packets)), first))
        .toEqual(Array.from({ length: 2 * count }, (_, index) => BigInt(index) * FRAME / 2n));
    },
  );

  it("are found for pictures without a place of their own, and for a stream that ends at once", async () => {
    const options = optionsOf("libx264", "keyint=250:bframes=3:b-adapt=0");
    const path = await clip("broken.h264", { ...options, frames: 30 });
    const bytes = readFileSync(path);
    const { packets } = await readAll(path);
    // A slice of a picture set that the stream does not have: 6 bits of zeros are a number above 62.
    const at = bytes.indexOf(packets[9]!.data.subarray(0, 32));
    const slice = bytes.indexOf(Uint8Array.of(0, 0, 1), at) + 4;
    bytes[slice] = 0b1_1_000000;
    const damaged = join(directory, "damaged.h264");
    writeFileSync(damaged, bytes);
    const read = await readAll(damaged, { decode: false });
    expect(read.packets).toHaveLength(30);
    expect(new Set(times(read.packets)).size).toBe(30);
    for (const frames of [1, 2, 3]) {
      const short = await readAll(await clip(`short-${frames}.avi`, { ...options, frames }));
      expect([short.packets.length, short.frames.length]).toEqual([frames, frames]);
      expectUsable(short);
    }
  });
});

/** A packet's content. */
const hashes = (packets: readonly { data: Uint8Array }[]) => packets.map(({ data }) => md5(data));

describe.skipIf(!existsSync(CASES))(
  "streams that others made (skipped where ../shared/cases is absent)",
  () => {
    it.each([["twoidr.h264", 50], ["Cisco_Men_whisper_640x320_CABAC_Bframe_9.264", 9]])(
      "as %s, whose first picture's count comes again, lose nothing",
      async (name, count) => {
        const read = await readAll(join(CASES, name));
        expect([read.packets.length, read.frames.length, new Set(hashes(read.packets)).size])
          .toEqual([count, count, count]);
        expectUsable(read);
        const first = read.frames[0]!.timestampNs;
        const expected = Array.from({ length: count }, (_, index) => BigInt(index) * FRAME);
        expect(relative(times(read.frames), first)).toEqual(expected);
      },
    );

    it("are in the order of their MP4 up to the end", async () => {
      const [raw, whole] = [
        await readAll(join(CASES, "rawpts.h264")),
        await readAll(join(CASES, "rawpts.mp4")),
      ];
      const first = raw.frames[0]!.timestampNs;
      expect(relative(times(raw.packets), first)).toEqual(times(whole.packets));
      expect(relative(times(raw.frames), first)).toEqual(times(whole.frames));
    });
  },
);
