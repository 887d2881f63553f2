// Packets that an edit list hides: they are decoded, and not shown.

import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { outputOfSync } from "../../scripts/lib/process.ts";
import { root } from "../../scripts/toolchain.mjs";
import { type MediaPacket, openMedia, Recorder } from "../../media.ts";
import {
  CLIP,
  directory,
  expectUsable,
  hasFfmpeg,
  md5,
  nv12,
  readAll,
  SECOND,
  sorted,
  times,
} from "../support/media.ts";

const EDITED = join(root, "../shared/cases/editlist.mp4");
const FRAME = SECOND / 25n;

/** The project's clip, of which all is hidden that is shown before frame `first`. */
async function hide(name: string, first: number): Promise<string> {
  const path = join(directory, name);
  await using media = await openMedia(CLIP, { decode: false });
  await using recorder = await Recorder.create(path, media.video);
  for await (const event of media) {
    if (event.kind === "packet") {
      await recorder.write({ ...event, hidden: event.timestampNs < BigInt(first) * FRAME });
    }
  }
  return path;
}

async function copy(from: string, name: string): Promise<string> {
  const path = join(directory, name);
  await using media = await openMedia(from, { decode: false });
  await using recorder = await Recorder.create(path, media.video);
  for await (const event of media) if (event.kind === "packet") await recorder.write(event);
  return path;
}

const pictures = async (path: string) => {
  const hashes: string[] = [];
  await readAll(path, {}, (event) => {
    if (event.kind !== "frame") return;
    const { planes } = nv12(320, 240);
    event.copyInto(planes);
    hashes.push(md5(planes[0]!.data));
  });
  return hashes;
};

describe("packets that an edit list hides", () => {
  it("are marked and timed before what is shown, which begins at 0", async () => {
    const read = await readAll(await hide("hidden.mp4", 9));
    expectUsable(read);
    const isHidden = ({ hidden }: MediaPacket) => hidden;
    expect(read.packets).toHaveLength(250);
    expect(read.packets.filter(isHidden)).toHaveLength(9);
    expect(read.packets[0]).toMatchObject({ type: "key", hidden: true, timestampNs: -9n * FRAME });
    expect(read.packets.every(({ hidden, timestampNs }) => hidden === (timestampNs < 0n))).toBe(true);
    expect(times(read.frames)).toEqual(Array.from({ length: 241 }, (_, index) => BigInt(index) * FRAME));
  });

  it("are decoded for those that refer to them", async () => {
    expect(await pictures(await hide("decoded.mp4", 9))).toEqual((await pictures(CLIP)).slice(9));
  });

  it.each(["mp4", "mov"])("are hidden in a recording as .%s, too", async (extension) => {
    const original = await hide(`original.${extension}`, 9);
    const path = await copy(original, `copied.${extension}`);
    expect(await pictures(path)).toEqual(await pictures(original));
    const { packets } = await readAll(path, { decode: false });
    expect(packets.filter(({ hidden }) => hidden)).toHaveLength(9);
  });

  it.each(["mp4", "mov"])("lie before what is shown in a durable .%s that was cut off", async (extension) => {
    const path = join(directory, `durable.${extension}`);
    const cutOff = join(directory, `cut-off.${extension}`);
    await using media = await openMedia(await hide("durable-original.mp4", 9), { decode: false });
    await using recorder = await Recorder.create(path, { ...media.video, durable: true });
    for await (const event of media) if (event.kind === "packet") await recorder.write(event);
    copyFileSync(path, cutOff);
    // FFmpeg does not look at the edit list of a file in fragments, but for where 0 is.
    const { packets } = await readAll(cutOff, { decode: false });
    const shown = sorted(times(packets));
    // But for its last second.
    expect(shown.length).toBeGreaterThan(250 - 50);
    expect(shown).toEqual(shown.map((_, index) => BigInt(index - 9) * FRAME));
  });

  it.skipIf(!hasFfmpeg())("stay in sync with sound (skipped without ffmpeg)", async () => {
    const [whole, cut, path] = ["whole.mp4", "cut.mp4", "cut-copy.mp4"].map((name) => join(directory, name));
    const tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-shortest"];
    outputOfSync("ffmpeg", ["-v", "error", "-i", CLIP, ...tone, "-c:v", "copy", "-c:a", "aac", whole!]);
    outputOfSync("ffmpeg", ["-v", "error", "-ss", "1.64", "-i", whole!, "-c", "copy", cut!]);
    const tracks = async (file: string) => {
      const { packets } = await readAll(file, { decode: false, audio: true });
      return [0, 1].map((number) =>
        packets.filter(({ track }) => track === number).map(({ hidden, timestampNs, data }) =>
          `${hidden} ${timestampNs / 1_000_000n} ${md5(data)}`
        )
      );
    };
    await using media = await openMedia(cut!, { decode: false, audio: true });
    await using recorder = await Recorder.create(path!, { tracks: media.tracks });
    for await (const event of media) if (event.kind === "packet") await recorder.write(event, event.track);
    await recorder.close();
    const [pictures, sound] = await tracks(cut!);
    expect(pictures!.filter((packet) => packet.startsWith("true")).length).toBeGreaterThan(0);
    expect(sound!.length).toBeGreaterThan(350);
    const [copied, copiedSound] = await tracks(path!);
    expect(copied).toEqual(pictures);
    // Sound begins with the picture: what nobody hears before it is left out.
    const heard = (packets: string[]) => packets.filter((packet) => /^false [^-]/.test(packet));
    expect(copiedSound).toEqual(heard(sound!));
  });

  it("leave no gap where the file begins again", async () => {
    await using media = await openMedia(await hide("again.mp4", 9), { loop: true });
    const shown: bigint[] = [];
    for await (const event of media) {
      if (event.kind === "frame" && shown.push(event.timestampNs) === 500) break;
    }
    expect(shown).toEqual(Array.from({ length: 500 }, (_, index) => BigInt(index) * FRAME));
  });

  it.skipIf(!hasFfmpeg())("are hidden to FFmpeg's own program (skipped without ffmpeg)", async () => {
    const path = await copy(await hide("ffmpeg.mp4", 9), "ffmpeg-copied.mp4");
    const counts = outputOfSync("ffmpeg", ["-v", "error", "-i", path, "-f", "framemd5", "-"]);
    const lines = new TextDecoder().decode(counts).trim().split("\n").filter((line) => !line.startsWith("#"));
    expect(lines).toHaveLength(241);
  });

  it.skipIf(!existsSync(EDITED))("are 8 of 75 in a camera's clip (skipped where it is absent)", async () => {
    const read = await readAll(await copy(EDITED, "editlist.mp4"));
    expect([read.packets.length, read.frames.length]).toEqual([75, 67]);
    expect(read.packets.filter(({ hidden }) => hidden)).toHaveLength(8);
  });
});
