// `cuframes record --on`: what begins a recording, and what is in it.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { matches, parseTrigger } from "../../src/cli/record_events.ts";
import { cuframes, hasFfmpeg, startCuframes } from "../support/cli.ts";
import { FilmedCamera, soundFilm } from "../support/filmed_camera.ts";
import { directory } from "../support/media.ts";
import { eventually, runtimeDirectory } from "../support/ring.ts";
import { type Tracks, tracksOf } from "../support/tracks.ts";

const env = { CUFRAMES_RUNTIME_DIR: runtimeDirectory };

test("an event is named by its kind; of data by key, label, path and value", () => {
  expect(parseTrigger("signal")).toEqual({ kind: "signal" });
  expect(parseTrigger("line")).toEqual({ kind: "line" });
  const data = (rest: object) => ({ kind: "data", key: undefined, path: [], value: undefined, ...rest });
  expect(parseTrigger("data:detections")).toEqual(data({ label: "detections" }));
  expect(parseTrigger("data:cam-ai/detections:a.b=x=y")).toEqual(
    data({ key: "cam-ai", label: "detections", path: ["a", "b"], value: "x=y" }),
  );
  expect(parseTrigger("data:alarm:on")).toEqual(data({ label: "alarm", path: ["on"] }));
  for (const wrong of ["", "sigusr1", "data:", "data", "data:a b!/label", "data:a:"]) {
    expect(() => parseTrigger(wrong), wrong).toThrow();
  }
});

test("a value matches where the path leads to what is wanted, in any item of a list", () => {
  const value = [{ label: "car", box: { w: 2 } }, { label: "person", sure: true, none: "" }];
  const cases: [string, string | undefined, boolean][] = [
    ["label", "person", true],
    ["label", "dog", false],
    ["label", undefined, true],
    ["box.w", "2", true],
    ["box.h", undefined, false],
    ["sure", "true", true],
    ["none", undefined, false],
    ["none", "", true],
    ["constructor", undefined, false],
    ["label.length", undefined, false],
  ];
  for (const [path, wanted, expected] of cases) {
    expect(matches(value, path.split("."), wanted), `${path}=${wanted}`).toBe(expected);
  }
  expect([matches(1, [], "1"), matches(0, [], undefined), matches(null, ["a"], undefined)]).toEqual([
    true,
    false,
    false,
  ]);
});

test("options that do not go together", async () => {
  for (
    const [args, message] of [
      [["--pre", "1s"], /--on/],
      [["--on", "signal", "--segment", "1m"], /--segment/],
      [["--on", "noise"], /signal, line, or data/],
    ] as const
  ) {
    const { code, stderr } = await cuframes(["record", "nobody", "-o", "a.mp4", ...args], { env });
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  }
});

describe.skipIf(!hasFfmpeg)("a recorder of events", () => {
  let film: Tracks;
  let recordings = 0;

  beforeAll(async () => {
    film = await soundFilm(join(directory, "record-events.mp4"));
  });

  /** The command on a camera whose film has come to 15 s. */
  async function begin(...args: string[]) {
    const camera = new FilmedCamera(film);
    camera.until(15.01);
    const folder = join(directory, `record-events-${++recordings}`);
    const { key } = camera.publisher;
    const output = join(folder, "%Y.mp4");
    const program = startCuframes([
      "record",
      key,
      "-o",
      output,
      "--pre",
      "2s",
      "--post",
      "1s",
      "--json",
      ...args,
    ], { env });
    const told = (event: string) =>
      program.text.split("\n").filter((line) => line.includes(`"event":"${event}"`)).length;
    await eventually(() => told("waiting") === 1);
    return { camera, program, folder, told, [Symbol.dispose]: () => camera[Symbol.dispose]() };
  }

  /** The picture's packets in the files. */
  async function recorded(folder: string): Promise<number[]> {
    const files = await Promise.all(readdirSync(folder).sort().map((name) => tracksOf(join(folder, name))));
    return files.map(({ packets }) => packets.filter(({ track }) => track === 0).length).sort((a, b) =>
      a - b
    );
  }

  test("a line of standard input", async () => {
    using all = await begin("--on", "line");
    all.program.stdin.write("the bell\n");
    await eventually(() => all.told("event") === 1);
    all.camera.until(20);
    await eventually(() => all.told("segment") === 1);
    all.program.stdin.end("again\n");
    await eventually(() => all.told("event") === 2);
    all.camera.until(25);
    const { code, stdout, stderr } = await all.program.ended;
    expect([code, stderr]).toEqual([0, ""]);
    const events = new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event)).toEqual([
      "waiting",
      "event",
      "begin",
      "segment",
      "event",
      "begin",
      "segment",
      "end",
    ]);
    expect(events[2]).toMatchObject({ reason: "the bell" });
    expect(events.at(-1)).toMatchObject({ events: 2, segments: 2 });
    expect(await recorded(all.folder)).toEqual([
      all.camera.pictures(13, 16),
      all.camera.pictures(17, 20.96),
    ]);
  });

  test("a signal", async () => {
    using all = await begin("--on", "signal");
    process.kill(all.program.pid, "SIGUSR1");
    await eventually(() => all.told("event") === 1);
    all.camera.until(20);
    await eventually(() => all.told("segment") === 1);
    process.kill(all.program.pid, "SIGTERM");
    expect((await all.program.ended).code).toBe(143);
    expect(await recorded(all.folder)).toEqual([all.camera.pictures(13, 16)]);
  });

  test("a value of a data track that matches, of this key or of another", async () => {
    using other = new FilmedCamera({ tracks: [], packets: [] });
    using all = await begin(
      ...["--on", "data:detections:label=person", "--on", `data:${other.publisher.key}/alarm:on`],
    );
    const detections = all.camera.publisher.data("detections");
    const alarm = other.publisher.data("alarm");
    await eventually(() => other.publisher.stats().subscribers === 1);
    detections.send([{ label: "car" }], { timestamp: 14e6 });
    alarm.send({ on: false }, { timestamp: 14e6 });
    detections.send([{ label: "car" }, { label: "person" }], { timestamp: 14e6 });
    await eventually(() => all.told("segment") === 1);
    alarm.send({ on: true }, { timestamp: 12e6 });
    await eventually(() => all.told("segment") === 2);
    process.kill(all.program.pid, "SIGTERM");
    expect((await all.program.ended).code).toBe(143);
    expect(all.told("event")).toBe(2);
    expect(await recorded(all.folder)).toEqual(
      [all.camera.pictures(12, 15), all.camera.pictures(10, 13)].sort(),
    );
  });

  test("with --no-reconnect it ends with its publisher", async () => {
    using all = await begin("--on", "signal", "--no-reconnect");
    process.kill(all.program.pid, "SIGUSR1");
    await eventually(() => all.told("event") === 1);
    all.camera.publisher.close();
    expect((await all.program.ended).code).toBe(0);
    expect(await recorded(all.folder)).toEqual([all.camera.pictures(13, 15.01)]);
  });
});
