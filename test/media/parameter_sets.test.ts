// Parameter sets that come in parts: by themselves, late, in the header alone, or between key packets.

import { Buffer } from "node:buffer";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../scripts/toolchain.mjs";
import { type MediaPacket, openMedia, Recorder } from "../../media.ts";
import { CODEC_IDS } from "../../src/core/codec.ts";
import { nalUnits } from "../../src/core/nal_units.ts";
import { SegmentRecorder } from "../../src/media/segments.ts";
import { Program } from "../support/cli.ts";
import { serveRtsp } from "../support/rtsp.ts";
import { clip, directory, hasFfmpeg, md5, nv12, readAll, SECOND } from "../support/media.ts";

type Codec = "h264" | "hevc";

const typeOf = (codec: Codec, unit: Uint8Array) => codec === "h264" ? unit[0]! & 31 : unit[0]! >> 1 & 63;
const SETS = { h264: [7, 8], hevc: [32, 33, 34] } as const;
const isSet = (codec: Codec, unit: Uint8Array) =>
  (SETS[codec] as readonly number[]).includes(typeOf(codec, unit));
const join4 = (units: readonly Uint8Array[]) =>
  Buffer.concat(units.flatMap((unit) => [Uint8Array.of(0, 0, 0, 1), unit]));

/** Fifty pictures, a key picture every ten, with sets of this number, and a PPS that depends on the quality. */
async function part(codec: Codec, id: number, qp: number): Promise<Uint8Array[]> {
  const path = await clip(`part-${id}-${qp}.${codec}`, {
    frames: 50,
    encoder: codec === "h264" ? "libx264" : "libx265",
    firstFrame: qp,
    encoderOptions: codec === "h264"
      ? { preset: "veryfast", g: "10", "x264-params": `threads=1:qp=${qp}:sps-id=${id}:bframes=0:scenecut=0` }
      : {
        preset: "ultrafast",
        "x265-params":
          `log-level=none:pools=1:qp=${qp}:keyint=10:min-keyint=10:bframes=0:scenecut=0:info=0:signhide=${
            qp < 30 ? 1 : 0
          }`,
      },
  });
  return [...nalUnits(readFileSync(path))];
}

/** MD5 of each frame of a file. */
async function hashes(path: string): Promise<string[]> {
  const all: string[] = [];
  await readAll(path, {}, (event) => {
    if (event.kind !== "frame") return;
    expect(event.corrupt).toBe(false);
    const { planes, pixels } = nv12(event.width, event.height);
    event.copyInto(planes);
    all.push(md5(pixels(0)));
  });
  return all;
}

function written(name: string, units: readonly Uint8Array[]): string {
  const path = join(directory, name);
  writeFileSync(path, join4(units));
  return path;
}

/** The stream's packets, each key packet of which is decoded alone, by what it has itself. */
async function packetsOf(path: string): Promise<MediaPacket[]> {
  const { packets } = await readAll(path, { decode: false });
  for (const [index, packet] of packets.entries()) {
    if (packet.type !== "key") continue;
    const alone = join(directory, `alone-${index}${path.slice(path.lastIndexOf("."))}`);
    writeFileSync(alone, packet.data);
    expect(await hashes(alone)).toHaveLength(1);
  }
  return packets;
}

/** Records a stream into each format, and holds what plays against what it is made of. */
async function expectRecordings(path: string, expected: readonly string[]): Promise<void> {
  for (const extension of ["mp4", "mkv", "ts"]) {
    for (const durable of [false, true]) {
      const target = `${path}-${durable}.${extension}`;
      await using media = await openMedia(path, { decode: false });
      await using recorder = await Recorder.create(target, { ...media.video, durable });
      for await (const event of media) if (event.kind === "packet") await recorder.write(event);
      await recorder.close();
      expect([extension, await hashes(target)]).toEqual([extension, expected]);
      if (!hasFfmpeg()) continue;
      const played = await new Program(["ffmpeg", "-v", "error", "-nostdin", "-i", target, "-f", "null", "-"])
        .ended;
      expect([target, played.stderr]).toEqual([target, ""]);
    }
  }
}

describe.each(["h264", "hevc"] as const)("parameter sets of %s", (codec) => {
  it.each(SETS[codec])("that lack type %i from the second key picture on are made whole", async (type) => {
    const units = await part(codec, 0, 24);
    let seen = 0;
    const path = written(
      `lacking-${type}.${codec}`,
      units.filter((unit) => typeOf(codec, unit) !== type || seen++ === 0),
    );
    expect(seen).toBe(5);
    const packets = await packetsOf(path);
    expect(packets.filter((packet) => packet.type === "key")).toHaveLength(5);
    for (const packet of packets) {
      const types = [...nalUnits(packet.data)].map((unit) => typeOf(codec, unit)).filter((one) =>
        (SETS[codec] as readonly number[]).includes(one)
      );
      expect(types).toEqual(packet.type === "key" ? SETS[codec] : []);
      expect(packet.description).toBeUndefined();
    }
    const expected = await hashes(written(`whole.${codec}`, units));
    expect(expected).toHaveLength(50);
    await expectRecordings(path, expected);
  });

  it("take the place of those with their number, one by one", async () => {
    const [first, second] = [await part(codec, 0, 20), await part(codec, 0, 36)];
    const last = codec === "h264" ? 8 : 34;
    // The second half brings its PPS alone, once.
    let seen = 0;
    const partial = second.filter((unit) =>
      !isSet(codec, unit) || (typeOf(codec, unit) === last && seen++ === 0)
    );
    const path = written(`replaced.${codec}`, [...first, ...partial]);
    const packets = await packetsOf(path);
    const sets = (units: readonly Uint8Array[]) => join4(units.filter((unit) => isSet(codec, unit)));
    const held = first.filter((unit) => isSet(codec, unit)).slice(0, SETS[codec].length);
    const replaced = [...held.slice(0, -1), second.find((unit) => typeOf(codec, unit) === last)!];
    expect(sets(held)).not.toEqual(sets(replaced));
    for (const [index, packet] of packets.entries()) {
      if (packet.type !== "key") continue;
      expect(sets([...nalUnits(packet.data)])).toEqual(sets(index < 50 ? held : replaced));
      expect(packet.description && Buffer.from(packet.description))
        .toEqual(index === 50 ? sets(replaced) : undefined);
    }
    const expected = [
      ...await hashes(written(`first.${codec}`, first)),
      ...await hashes(written(`second.${codec}`, second)),
    ];
    await expectRecordings(path, expected);
  });
});

it("sets that come before a delta picture hold for the next key picture", async () => {
  const [first, second] = [await part("h264", 0, 20), await part("h264", 1, 36)];
  const sets = second.filter((unit) => isSet("h264", unit)).slice(0, 2);
  const rest = second.filter((unit) => !isSet("h264", unit));
  const early = [...first];
  early.splice(early.length - 3, 0, ...sets);
  const path = written("early.h264", [...early, ...rest]);
  const packets = await packetsOf(path);
  expect(packets[47]).toMatchObject({ type: "delta" });
  expect(packets[47]!.description).toBeDefined();
  const numbers = [...nalUnits(packets[50]!.data)].map((unit) => unit[0]! & 31);
  expect(numbers.slice(0, 4)).toEqual([7, 7, 8, 8]);
  const expected = [
    ...await hashes(written("early-first.h264", first)),
    ...await hashes(written("early-second.h264", second)),
  ];
  await expectRecordings(path, expected);
});

/** The pictures of a stream: each ends with its slice. */
function picturesOf(codec: Codec, units: readonly Uint8Array[]): Uint8Array[][] {
  const pictures: Uint8Array[][] = [];
  let current: Uint8Array[] = [];
  for (const unit of units) {
    current.push(unit);
    if (typeOf(codec, unit) > (codec === "h264" ? 5 : 31)) continue;
    pictures.push(current);
    current = [];
  }
  return pictures;
}

/** How an SDP names sets by their types. */
const SPROP: Readonly<Record<Codec, (type: number) => string>> = {
  h264: () => "sprop-parameter-sets",
  hevc: (type) => ({ 32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps" })[type]!,
};

it.each((["h264", "hevc"] as const).flatMap((codec) => SETS[codec].map((type) => [codec, type] as const)))(
  "%s sets of type %i that an SDP has alone, and that never come, are in every key packet",
  async (codec, type) => {
    const units = await part(codec, 0, 24);
    const set = Buffer.from(units.find((unit) => typeOf(codec, unit) === type)!);
    const rest = units.filter((unit) => typeOf(codec, unit) !== type);
    using camera = await serveRtsp(
      codec,
      picturesOf(codec, rest),
      `${SPROP[codec](type)}=${set.toString("base64")}`,
    );
    const read = await readAll(camera.url, { options: { rtsp_transport: "tcp" }, timeout: 20_000 });
    expect([read.packets.length, read.frames.length]).toEqual([50, 50]);
    expect(read.frames.some(({ corrupt }) => corrupt)).toBe(false);
    for (const { type: kind, data } of read.packets) {
      const types = [...nalUnits(data)].map((unit) => typeOf(codec, unit)).filter((one) =>
        SETS[codec].some((other) => other === one)
      );
      expect(types).toEqual(kind === "key" ? SETS[codec] : []);
    }
  },
);

it("pictures of another size are decoded where their SPS comes alone", async () => {
  const first = await part("h264", 0, 24);
  const path = await clip("small.h264", {
    ...{ width: 128, height: 96, frames: 20 },
    encoderOptions: { preset: "veryfast", g: "10", "x264-params": "threads=1:qp=24:bframes=0:scenecut=0" },
  });
  const second = [...nalUnits(readFileSync(path))];
  const pps = (units: readonly Uint8Array[]) => units.find((unit) => typeOf("h264", unit) === 8)!;
  expect(pps(first)).toEqual(pps(second));
  const joined = written("sizes.h264", [...first, ...second.filter((unit) => typeOf("h264", unit) !== 8)]);
  const { frames } = await readAll(joined);
  expect(frames.map(({ width }) => width)).toEqual([...new Array(50).fill(160), ...new Array(20).fill(128)]);
});

it("sets in another order, or a part of them again, begin no new file", async () => {
  const [first, other] = [await part("h264", 0, 20), await part("h264", 1, 36)];
  const sets = [first, other].flatMap((units) => units.filter((unit) => isSet("h264", unit)).slice(0, 2));
  let keys = 0;
  const units = first.flatMap((unit) => {
    if (isSet("h264", unit)) return [];
    if (typeOf("h264", unit) !== 5) return [unit];
    return keys++ === 0 ? [...sets, unit] : keys === 3 ? [sets[3]!, unit] : [unit];
  });
  const { packets } = await readAll(written("interleaved.h264", units), { decode: false });
  const segments: string[] = [];
  await using recorder = new SegmentRecorder({
    pathOf: () => join(directory, "interleaved.mp4"),
    onBegin: (path) => void segments.push(path),
  });
  for (const packet of packets) {
    await recorder.write(packet, () => ({
      kind: "video",
      codecId: CODEC_IDS.h264,
      description: new Uint8Array(0),
      codedWidth: 160,
      codedHeight: 120,
    }));
  }
  await recorder.close();
  expect(segments).toHaveLength(1);
  expect(await hashes(segments[0]!)).toHaveLength(50);
});

it("a recording begins with what the description and the first key packet have together", async () => {
  const units = await part("h264", 0, 24);
  const sps = units.find((unit) => typeOf("h264", unit) === 7)!;
  const { packets } = await readAll(written("both.h264", units), { decode: false });
  for (const extension of ["mp4", "mkv", "ts"]) {
    const target = join(directory, `both.${extension}`);
    await using recorder = await Recorder.create(target, {
      codecId: CODEC_IDS.h264,
      description: join4([sps]),
      codedWidth: 160,
      codedHeight: 120,
    });
    for (const [index, packet] of packets.entries()) {
      const data = join4([...nalUnits(packet.data)].filter((unit) => typeOf("h264", unit) !== 7));
      await recorder.write({
        ...packet,
        data,
        timestampNs: BigInt(index) * SECOND / 25n,
        decodeTimestampNs: BigInt(index) * SECOND / 25n,
      });
    }
    await recorder.close();
    expect(await hashes(target)).toHaveLength(50);
  }
});

const CASES = join(root, "../shared/cases");

it.skipIf(!existsSync(CASES)).each([
  ["pps_only.h264", 150],
  ["lonepps.h264", 150],
  ["BASQP1_Sony_C.264", 4],
  ["lvh.hevc", 300],
])(
  "%s, which somebody else made, is recorded whole (skipped where ../shared/cases is absent)",
  async (name, count) => {
    const path = join(directory, name);
    copyFileSync(join(CASES, name), path);
    const expected = await hashes(path);
    expect(expected).toHaveLength(count);
    await expectRecordings(path, expected);
  },
);
