// Raw video for other programs.

import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RawVideoWriter } from "../../src/media/raw_video.ts";
import { Publisher, Subscriber } from "../../mod.ts";
import { directory, stored } from "../support/media.ts";

describe("raw video", () => {
  it("with timestamps keeps what was left out, however long, and goes on behind a clock that starts anew", async () => {
    using publisher = Publisher.create({
      key: "raw",
      runtimeDirectory: directory,
      width: 16,
      height: 16,
      memory: "host",
    });
    using camera = await Subscriber.connect("raw", { runtimeDirectory: directory });
    const path = join(directory, "raw.nut");
    const file = await open(path, "w");
    let writer: RawVideoWriter | undefined;
    for (const seconds of [0, 0.04, 12, 12.04, 7200, 5, 5.04]) {
      publisher.acquire().publish({
        timestampNs: BigInt(seconds * 1000) * 1_000_000n,
        durationNs: 40_000_000n,
      });
      using frame = await camera.next();
      writer ??= await RawVideoWriter.create(file.fd, frame, {
        format: "nut",
        frameRate: { num: 25, den: 1 },
      });
      await writer.load(frame);
      await writer.write();
    }
    await writer?.close();
    await file.close();
    const { packets } = await stored(path, 1000);
    expect(packets.map(({ pts }) => Number(pts))).toEqual([
      0,
      40,
      12_000,
      12_040,
      7_200_000,
      7_200_040,
      7_200_080,
    ]);
  });
});
