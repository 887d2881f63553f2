// A source's clock: packets that are out of their place, clocks that start anew, pauses, counters that wrap.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  clip,
  directory,
  expectUsable,
  type Read,
  readAll,
  SECOND,
  sorted,
  times,
  X264,
} from "../support/media.ts";
import { type PesTimes, retimed, shifted } from "../support/mpegts.ts";

const FRAME = SECOND / 25n;

/** Two seconds of MPEG-TS, with B-frames or without. */
const original = async (bFrames: number) => {
  const encoderOptions = { ...X264, g: "25", bf: String(bFrames), sc_threshold: "0" };
  return new Uint8Array(await readFile(await clip(`clock-${bFrames}.ts`, { frames: 60, encoderOptions })));
};

async function read(name: string, bytes: Uint8Array): Promise<Read> {
  const path = join(directory, name);
  await writeFile(path, bytes);
  const read = await readAll(path);
  expectUsable(read);
  expect([read.packets.length, read.frames.length]).toEqual([60, 60]);
  return read;
}

const marked = (events: { discontinuity: boolean }[]) =>
  events.flatMap(({ discontinuity }, index) => discontinuity ? [index] : []);
const steps = (events: readonly { timestampNs: bigint }[]) =>
  times(events).slice(1).map((time, index) => time - times(events)[index]!);

/** Presentation and decode times moved by each its own number of seconds. */
const moved = (pts: number, dts: number) => (times: PesTimes): PesTimes => ({
  pts: times.pts + BigInt(pts * 90_000),
  dts: times.dts === undefined ? undefined : times.dts + BigInt(dts * 90_000),
});

describe.each([0, 2])("a file with %i B-frames", (bFrames) => {
  it.each([37_600, -9800, 600, 5, -5])("keeps its clock where one packet is %i s off", async (seconds) => {
    const whole = await read("whole.ts", await original(bFrames));
    const { packets, frames } = await read("outlier.ts", shifted(await original(bFrames), seconds, 30, 31));
    expect(times(frames)).toEqual(times(whole.frames));
    expect(times(packets)).toEqual(times(whole.packets));
    expect(marked([...packets, ...frames])).toEqual([]);
  });

  it("keeps it where a few are, one after the other, each somewhere else", async () => {
    const whole = await read("whole.ts", await original(bFrames));
    let bytes = shifted(await original(bFrames), 600, 30, 33);
    bytes = shifted(bytes, -9000, 31, 32);
    const { packets, frames } = await read("outliers.ts", bytes);
    expect(times(frames)).toEqual(times(whole.frames));
    expect(marked(packets)).toEqual([]);
  });

  it("keeps it where the last packet is off, and where the last but one is", async () => {
    const whole = await read("whole.ts", await original(bFrames));
    for (const [from, to] of [[59, 60], [58, 59]]) {
      const { frames } = await read("last.ts", shifted(await original(bFrames), 37_600, from, to));
      expect(times(frames)).toEqual(times(whole.frames));
    }
  });

  it.each([-3, -20_000])(
    "goes on where a clock was that starts anew %i s back, which is marked",
    async (seconds) => {
      // A key packet is where an encoder starts anew.
      const { packets, frames } = await read("restart.ts", shifted(await original(bFrames), seconds, 25));
      expect(marked(packets)).toEqual([25]);
      expect(marked(frames)).toEqual([25]);
      expect(new Set(steps(frames))).toEqual(new Set([FRAME]));
    },
  );

  it("keeps a pause of a minute", async () => {
    const { frames } = await read("pause.ts", shifted(await original(bFrames), 60, 25));
    expect(steps(frames).filter((step) => step !== FRAME)).toEqual([60n * SECOND + FRAME]);
  });

  it("does not see that a counter of 33 bits begins again", async () => {
    const before = 2 ** 33 / 90_000 - 2.4;
    const whole = await read("whole.ts", await original(bFrames));
    const { packets, frames } = await read("wraps.ts", shifted(await original(bFrames), before));
    expect(steps(frames)).toEqual(steps(whole.frames));
    expect(marked(packets)).toEqual([]);
  });
});

it("keeps its clock where a packet's presentation time alone is off, or its decode time alone", async () => {
  const bytes = await original(2);
  const whole = await read("whole.ts", bytes);
  for (const change of [moved(8, 0), moved(600, 0), moved(0, 600), moved(0, -600)]) {
    const { frames, packets } = await read(
      "alone.ts",
      retimed(bytes, (index, times) => index === 30 ? change(times) : times),
    );
    expect(marked(packets)).toEqual([]);
    expect(frames.at(-1)!.timestampNs).toBe(whole.frames.at(-1)!.timestampNs);
    const off = times(frames).map((time, index) => Number(time - whole.frames[index]!.timestampNs) / 1e6);
    expect(Math.max(...off.map(Math.abs))).toBeLessThanOrEqual(3 * 40);
  }
});

it("keeps the times of a file whose frames are seconds apart, at irregular intervals", async () => {
  const ticks = (index: number) =>
    index * 4000 + (index * index * 1237) % 3000 + (index > 20 ? 3_600_000 : 0);
  for (const name of ["slow.mkv", "slow.mp4"]) {
    const path = await clip(name, {
      frames: 40,
      frameRate: 1000,
      timestamps: ticks,
      encoderOptions: { ...X264, bf: "2" },
    });
    const { packets, frames } = await readAll(path);
    expect(times(frames)).toEqual(
      Array.from({ length: 40 }, (_, index) => BigInt(ticks(index) - ticks(0)) * 1_000_000n),
    );
    expect(sorted(times(packets))).toEqual(times(frames));
    expect(marked(packets)).toEqual([]);
  }
});
