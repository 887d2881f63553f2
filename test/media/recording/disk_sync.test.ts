// What a power failure leaves of a recording: the disk as it was at that moment, and what a player makes of it.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { outputOfSync } from "../../../scripts/lib/process.ts";
import { openMedia, Recorder, type RecorderTrack } from "../../../media.ts";
import { SegmentRecorder } from "../../../src/media/segments.ts";
import { CLIP, hasFfmpeg, readAll } from "../../support/media.ts";
import { ffprobe } from "../../support/tracks.ts";

const base = mkdtempSync(join(tmpdir(), "cuframes-disk-"));
const mounted: string[] = [];

const run = (program: string, ...words: string[]): void => void outputOfSync(program, words);

function mount(name: string, ...words: string[]): string {
  const path = join(base, name);
  mkdirSync(path, { recursive: true });
  run("mount", ...words, path);
  mounted.push(path);
  return path;
}

function unmount(path: string): void {
  run("umount", path);
  mounted.splice(mounted.indexOf(path), 1);
}

/** A disk in a file; what is written to it is in the file when the kernel has been told to bring it there, or after minutes. */
function disk(name: string, image = join(base, `${name}.img`)): { image: string; path: string } {
  writeFileSync(image, "");
  truncateSync(image, 64 << 20);
  run("mkfs.ext4", "-q", "-F", image);
  return { image, path: mount(name, "-o", "loop,commit=300", image) };
}

function canMount(): boolean {
  try {
    unmount(disk("probe").path);
    return true;
  } catch {
    return false;
  }
}

afterAll(() => {
  for (const path of mounted.toReversed()) run("umount", "-l", path);
  rmSync(base, { recursive: true, force: true });
});

/** How many packets a player finds in the files of a disk that lost its power now. */
async function leftOf(image: string, name: string): Promise<number> {
  const copy = join(base, `${name}-left.img`);
  copyFileSync(image, copy);
  const path = mount(`${name}-left`, "-o", "loop", copy);
  try {
    let sum = 0;
    for (const file of readdirSync(path, { recursive: true }).map(String)) {
      if (!file.includes("cam")) continue;
      const { packets } = await ffprobe("-show_packets", join(path, file)).catch(() => ({ packets: [] }));
      sum += packets.length;
    }
    return sum;
  } finally {
    unmount(path);
  }
}

describe.skipIf(!hasFfmpeg() || !canMount())(
  "after a power failure (skipped where no disk can be mounted)",
  () => {
    it.each(["mp4", "mkv", "ts"])("a recording plays up to its last seconds (.%s)", async (extension) => {
      const { packets } = await readAll(CLIP, { decode: false });
      await using media = await openMedia(CLIP, { decode: false });
      const { image, path } = disk(extension);
      await using recorder = await Recorder.create(join(path, `cam.${extension}`), {
        ...media.video,
        durable: true,
        sync: 0.3,
      });
      for (const packet of packets) await recorder.write(packet);
      await expect.poll(() => leftOf(image, extension), { timeout: 10_000, interval: 300 }).toBe(250);
      await recorder.close();
      expect(await leftOf(image, extension)).toBe(250);
      unmount(path);
    });

    it("files in new directories are there, the last one included", async () => {
      const { packets } = await readAll(CLIP, { decode: false });
      await using media = await openMedia(CLIP, { decode: false });
      const video: RecorderTrack = media.video;
      const { image, path } = disk("segments");
      let number = 0;
      await using recorder = new SegmentRecorder({
        pathOf: () => join(path, `day/${number}/cam-${number++}.mp4`),
        seconds: 2,
        sync: 0.3,
      });
      for (const packet of packets) await recorder.write(packet, (track) => track === 0 ? video : undefined);
      await expect.poll(() => leftOf(image, "segments"), { timeout: 10_000, interval: 300 }).toBe(250);
      await recorder.close();
      unmount(path);
    });

    it("nothing is there that nobody asked to be", async () => {
      const { packets } = await readAll(CLIP, { decode: false });
      await using media = await openMedia(CLIP, { decode: false });
      const { image, path } = disk("never");
      await using recorder = await Recorder.create(join(path, "cam.ts"), {
        ...media.video,
        durable: true,
        sync: 0,
      });
      for (const packet of packets) await recorder.write(packet);
      await recorder.close();
      expect(existsSync(join(path, "cam.ts"))).toBe(true);
      expect(await leftOf(image, "never")).toBe(0);
      unmount(path);
    });

    it("a disk that does not take it is told of", async () => {
      const { packets } = await readAll(CLIP, { decode: false });
      await using media = await openMedia(CLIP, { decode: false });
      // The disk is a file in memory that there is too little of.
      const memory = mount("memory", "-t", "tmpfs", "-o", "size=8m", "tmpfs");
      const { path } = disk("failing", join(memory, "failing.img"));
      await using recorder = await Recorder.create(join(path, "cam.ts"), {
        ...media.video,
        durable: true,
        sync: 0.1,
      });
      try {
        writeFileSync(join(path, "junk"), new Uint8Array(4 << 20));
      } catch {
        // The kernel has noticed by itself that there is no room, and takes nothing more.
      }
      const writing = async () => {
        for (let round = 0n; round < 200n; round++) {
          for (const packet of packets) {
            const shift = round * 10_000_000_000n;
            const { timestampNs, decodeTimestampNs } = packet;
            const times = { timestampNs: timestampNs + shift, decodeTimestampNs: decodeTimestampNs + shift };
            await recorder.write({ ...packet, ...times });
          }
        }
        await recorder.close();
      };
      // By what the disk says when it is asked to take it, or when the kernel has given it up by then.
      await expect(writing()).rejects.toMatchObject({
        code: "IO",
        message: expect.stringMatching(/cam\.ts: (the disk did not take it: |.*read-only)/i),
      });
    });
  },
);

it("a time between synchronizations is checked", async () => {
  for (const sync of [-1, NaN, 3601, "2s" as unknown as number]) {
    const options = { codecId: 27, codedWidth: 320, codedHeight: 240, sync };
    await expect(Recorder.create(join(base, "a.mp4"), options)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  }
});
