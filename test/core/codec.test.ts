import { describe, expect, test } from "vitest";
import { CODEC_IDS, codecString, isAnnexB } from "../../src/core/codec.ts";
import { nalUnits } from "../../src/core/nal_units.ts";
import { randomNumbers } from "../support/ring.ts";

/** Bytes written as hexadecimal numbers. */
const bytes = (text: string) => Uint8Array.from(text.trim().split(/\s+/), (byte) => parseInt(byte, 16));

// As encoders write them.
const avcHigh31 = bytes(
  `00 00 00 01 67 64 00 1f ac d9 40 50 05 bb 01 6a 02 02 02 80 00 00 03 00 80 00 00 1e 07 8c 18 cb
  00 00 00 01 68 eb e3 cb 22 c0`,
);
const avcConstrainedBaseline30 = bytes(
  "00 00 00 01 67 42 c0 1e d9 00 a0 47 fe 88 00 00 00 01 68 cb 83 cb 20",
);
const hevcVps = "00 00 00 01 40 01 0c 01 ff ff 01 60 00 00 03 00 b0 00 00 03 00 00 03 00 5d 15 c0 90";
const hevcSps =
  `00 00 00 01 42 01 01 01 60 00 00 03 00 b0 00 00 03 00 00 03 00 5d a0 02 80 80 2d 13 65 95 79 32 bc 05 a0
  20 00 00 03 00 20 00 00 03 03 21`;
const hevcPps = "00 00 00 01 44 01 c0 62 5c c2 3c 90";
const hevcMain31 = bytes(`${hevcVps} ${hevcSps} ${hevcPps}`);

describe("a codec string", () => {
  test.each([
    ["H.264 High 3.1", CODEC_IDS.h264, avcHigh31, "avc1.64001f"],
    ["H.264 Constrained Baseline 3.0", CODEC_IDS.h264, avcConstrainedBaseline30, "avc1.42c01e"],
    ["H.264 with a three-byte start code", CODEC_IDS.h264, avcHigh31.subarray(1), "avc1.64001f"],
    [
      "H.264 behind an access unit delimiter",
      CODEC_IDS.h264,
      Uint8Array.of(0, 0, 0, 1, 9, 0xf0, ...avcHigh31),
      "avc1.64001f",
    ],
    ["HEVC Main 3.1", CODEC_IDS.hevc, hevcMain31, "hvc1.1.6.L93.B0"],
    [
      "HEVC Main 10 4.0, progressive and frames only",
      CODEC_IDS.hevc,
      bytes("00 00 01 42 01 01 02 20 00 00 03 00 90 00 00 03 00 00 03 00 78 a0 03 c0 80 10 e5 96 66"),
      "hvc1.2.4.L120.90",
    ],
    [
      "HEVC of the high tier, in a profile space, without constraints",
      CODEC_IDS.hevc,
      bytes("00 00 01 42 01 01 61 60 00 00 03 00 00 03 00 00 03 00 00 03 00 5d a0"),
      "hvc1.A1.6.H93",
    ],
    ["VP8", CODEC_IDS.vp8, bytes("00"), "vp8"],
    ["VP9", CODEC_IDS.vp9, bytes("00"), "vp09.00.10.08"],
    ["AV1", CODEC_IDS.av1, bytes("00"), "av01.0.04M.08"],
  ])("of %s", (_, codecId, parameters, expected) => {
    expect(codecString(codecId, parameters)).toBe(expected);
  });

  test.each([
    ["a codec that WebCodecs does not name", CODEC_IDS.mjpeg, avcHigh31],
    ["no parameters", CODEC_IDS.h264, new Uint8Array(0)],
    ["H.264 without an SPS", CODEC_IDS.h264, avcHigh31.subarray(31)],
    ["H.264 whose SPS is cut short", CODEC_IDS.h264, avcHigh31.subarray(0, 7)],
    ["H.264 as an MP4 file has it", CODEC_IDS.h264, bytes("01 64 00 1f ff e1 00 04 67 64 00 1f 01 00 01 68")],
    ["HEVC without an SPS", CODEC_IDS.hevc, bytes(`${hevcVps} ${hevcPps}`)],
    ["HEVC whose SPS is cut short", CODEC_IDS.hevc, bytes(hevcSps).subarray(0, 20)],
    ["bytes that are nothing", CODEC_IDS.hevc, bytes("ff 00 ff 00 00 00 00 00")],
  ])("is not made up from %s", (_, codecId, parameters) => {
    expect(codecString(codecId, parameters)).toBeUndefined();
  });
});

test("NAL units come out as they went in, whatever start codes separate them", () => {
  const random = randomNumbers(11);
  for (let round = 0; round < 300; round++) {
    const units = Array.from({ length: random(6) }, () => {
      // No unit has a start code inside or ends in zero: the standard keeps both out.
      const unit = Array.from({ length: 1 + random(12) }, () => [0, 1, 2, 255][random(4)]!);
      const escaped = unit.map((byte, index) => byte <= 1 && unit[index - 1] === 0 ? 2 : byte);
      return Uint8Array.from([...escaped, 0x80]);
    });
    const stream = units.flatMap((unit) => [...new Array(2 + random(3)).fill(0), 1, ...unit]);
    const trailing = new Array(random(4)).fill(0);
    expect([...nalUnits(Uint8Array.from([...stream, ...trailing]))]).toEqual(units);
  }
});

test("only H.264 and HEVC are Annex B", () => {
  expect(Object.entries(CODEC_IDS).filter(([, id]) => isAnnexB(id)).map(([name]) => name)).toEqual([
    "h264",
    "hevc",
  ]);
});
