// The program as a person or a script meets it: help, exit codes, and one file through every command.

import { once } from "node:events";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { parseJsonLines } from "../../scripts/lib/json_lines.ts";
import { root } from "../../scripts/toolchain.mjs";
import { openMedia } from "../../media.ts";
import { type Frame, Publisher, Subscriber } from "../../mod.ts";
import { cuframes, startCuframes } from "../support/cli.ts";
import { eventually } from "../support/processes.ts";

const CLIP = join(root, "test/fixtures/clip.mp4");
const directory = mkdtempSync(join(tmpdir(), "cuframes-commands-"));
const sockets = join(directory, "sockets");
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const env = { CUFRAMES_RUNTIME_DIR: sockets, NO_COLOR: "1" };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("help names every command, and each has an example and its variables", async () => {
  const help = await cuframes(["--help"]);
  expect(help.code).toBe(0);
  const names = ["source", "pipe", "record", "snapshot", "inspect", "top"];
  const helps = await Promise.all(names.map((name) => cuframes([name, "--help"])));
  for (const [index, name] of names.entries()) {
    expect(text(help.stdout)).toMatch(new RegExp(`^  ${name} `, "m"));
    expect(helps[index]).toMatchObject({ code: 0, stderr: "" });
    expect(text(helps[index]!.stdout)).toContain(`$ cuframes ${name}`);
    expect(text(helps[index]!.stdout)).toMatch(/env:\s+CUFRAMES_RUNTIME_DIR/);
  }
});

describe("what is wrong is said in a line, with an exit code", () => {
  const cases: [string, string[], Record<string, string>, number, RegExp][] = [
    ["no command", [], {}, 2, /Usage: cuframes/],
    ["an unknown command", ["srouce"], {}, 2, /unknown command 'srouce'/],
    ["an empty input", ["source", "", "--key", "cam"], {}, 2, /the input is empty/],
    [
      "a key that nobody publishes",
      ["pipe", "nobody"],
      {},
      3,
      /nobody publishes as nobody.* Start its publisher, or wait for it with --wait\n/,
    ],
    [
      "a key that does not come in time",
      ["pipe", "nobody", "--wait", "50ms"],
      {},
      5,
      /nobody.* within \d+ ms\. Start its publisher, or give --wait a longer time\n/,
    ],
    ["a key where there is no --wait", ["inspect", "nobody"], {}, 3, /\.sock\. Start its publisher\n/],
    [
      "a host without an address",
      ["source", "rtsp://u:p@nosuch.invalid:99/x", "--key", "cam", "--no-reconnect"],
      {},
      1,
      /opening rtsp:\/\/nosuch\.invalid:99\/x: cannot resolve the host nosuch\.invalid /,
    ],
    ["a format of the other kind", ["pipe", "nobody", "--format", "h264"], {}, 2, /is for --packets/],
    ["a recording of no format", ["record", "nobody", "-o", "a.avi"], {}, 2, /must end in .mp4/],
    ["a variable", ["record", "nobody", "-o", "a.mp4"], { CUFRAMES_SEGMENT: "1w" }, 2, /CUFRAMES_SEGMENT/],
    ["a wrong key", ["inspect", "a b"], {}, 2, /1 to 63 characters/],
  ];
  test.each(cases)("%s", async (_, args, variables, code, sentence) => {
    const outcome = await cuframes(args, { env: { ...env, ...variables } });
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toMatch(sentence);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
  });
});

test("what does not come in time is told in the words of the command line", async () => {
  using silent = Publisher.create({
    key: "silent-pictures",
    width: 64,
    height: 64,
    runtimeDirectory: sockets,
  });
  using mute = Publisher.create({
    ...{ key: "silent-packets", width: 64, height: 64, runtimeDirectory: sockets },
    packets: { codec: "h264" },
  });
  const path = join(directory, "never.mp4");
  const outcomes = await Promise.all([
    cuframes(["record", silent.key, "-o", path], { env }),
    cuframes(["pipe", silent.key, "--packets"], { env }),
    cuframes(["record", mute.key, "-o", path, "--wait", "1s"], { env }),
    cuframes(["snapshot", silent.key, join(directory, "never.png")], { env }),
  ]);
  expect(outcomes.map(({ code }) => code)).toEqual([3, 3, 5, 5]);
  const without =
    "cuframes: silent-pictures is published without packets: start its source without --no-packets\n";
  expect(outcomes[0]!.stderr).toBe(without);
  expect(outcomes[1]!.stderr).toBe(without);
  expect(outcomes[2]!.stderr).toMatch(
    /no packet of silent-packets came .*: give --wait a longer time, or look at its source\n/,
  );
  expect(outcomes[3]!.stderr).toMatch(
    /no frame of silent-pictures came .*: give --wait a longer time, or look at its source\n/,
  );
}, 40_000);

test("the standard input is a source", async () => {
  const source = startCuframes(["source", "-", "--key", "stdin", "--memory", "host", "--json"], { env });
  source.stdin.end(readFileSync(CLIP));
  const { code, stdout } = await source.ended;
  expect(code).toBe(0);
  expect(parseJsonLines(stdout).at(-1)).toMatchObject({ event: "ended", key: "stdin", frames: 250 });
});

test("a standard input that gives nothing does not hold up the end", async () => {
  const source = startCuframes(["source", "-", "--key", "silent", "--json"], { env });
  await eventually("it is opening", () => source.text.includes("connecting"));
  source.kill("SIGTERM");
  const { code, signal } = await source.ended;
  expect(code === 143 || signal === "SIGTERM").toBe(true);
});

test("an interval of a month is not a millisecond", async () => {
  const args = [
    "source",
    CLIP,
    "--key",
    "month",
    "--realtime",
    "--memory",
    "host",
    "--json",
    "--interval",
    "30d",
  ];
  const source = startCuframes(args, { env });
  await eventually("it is connected", () => source.text.includes('"connected"'));
  await delay(500);
  expect(source.text).not.toContain('"status"');
  source.kill("SIGINT");
  await source.ended;
});

test("a signal that comes twice at once, as from timeout(1), closes everything", async () => {
  const source = startCuframes(
    ["source", CLIP, "--key", "twice", "--realtime", "--loop", "--memory", "host"],
    { env },
  );
  const path = join(directory, "twice.mkv");
  const record = startCuframes(["record", "twice", "--wait", "30s", "--output", path, "--json"], { env });
  await eventually("it records", () => record.text.includes("begin"));
  const pipe = startCuframes(["pipe", "twice", "--packets", "--json"], { env });
  await eventually("something is piped", () => pipe.text.length > 0);
  await delay(1000);
  for (const program of [record, pipe, source]) {
    for (let count = 0; count < 3; count++) program.kill("SIGTERM");
    const { code } = await program.ended;
    expect(code).toBe(143);
  }
  const events = parseJsonLines<{ event: string; packets: number }>((await record.ended).stdout);
  expect(events.map(({ event }) => event)).toEqual(["begin", "segment", "end"]);
  await using media = await openMedia(path, { decode: false });
  let packets = 0;
  for await (const _ of media) packets++;
  expect(packets).toBe(events[1]!.packets);
  // MPEG-TS, to the end of its last packet.
  expect((await pipe.ended).stdout.length % 188).toBe(0);
  expect(readdirSync(sockets).filter((name) => name.startsWith("twice"))).toEqual([]);
});

test("a device that takes nothing is noticed", async () => {
  const full = openSync("/dev/full", "w");
  const outcome = await cuframes(["inspect"], { env, stdout: full });
  closeSync(full);
  expect(outcome.code).toBe(6);
  expect(outcome.stderr).toMatch(/^cuframes: .*no space left/i);
});

test("a file goes through every command", async () => {
  const source = startCuframes(
    [
      ...["source", CLIP, "--key", "cam", "--realtime", "--loop", "--memory", "host", "--json"],
      ...["--socket-mode", "640"],
    ],
    { env },
  );
  const recording = join(directory, "%Y-cam.mp4");
  const [recorded, piped, shot] = await Promise.all([
    cuframes(["record", "cam", "--wait", "30s", "-o", recording, "--duration", "1s", "--json"], { env }),
    cuframes(["pipe", "cam", "--wait", "30s", "--count", "5"], { env }),
    cuframes(["snapshot", "cam", "-", "--format", "png", "--wait", "30s"], { env }),
  ]);
  expect([recorded.code, piped.code, shot.code]).toEqual([0, 0, 0]);
  const [begin, segment, end] = parseJsonLines<{ event: string; path: string; packets: number }>(
    recorded.stdout,
  );
  expect([begin!.event, segment!.event, end!.event]).toEqual(["begin", "segment", "end"]);
  expect(begin!.path).toBe(join(directory, `${new Date().getFullYear()}-cam.mp4`));
  await using media = await openMedia(begin!.path, { decode: false });
  let packets = 0;
  for await (const _ of media) packets++;
  expect(packets).toBe(segment!.packets);
  expect(packets).toBeGreaterThanOrEqual(25);
  expect(text(piped.stdout.subarray(0, 60))).toMatch(/^YUV4MPEG2 W320 H240 F25:1 /);
  expect(piped.stdout.length).toBeGreaterThan(5 * 320 * 240 * 3 / 2);
  expect([...shot.stdout.subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);

  // A reader that takes the first bytes and goes.
  const reader = startCuframes(["pipe", "cam"], { env, stdout: "leave" });
  await once(reader.stdout, "readable");
  reader.stdout.destroy();
  expect((await reader.ended).code).toBe(0);

  const held = startCuframes(["pipe", "cam", "--name", "stuck\x1b[2J"], { env, stdout: "leave" });
  await once(held.stdout, "readable");
  const [table, json, top] = await Promise.all([
    cuframes(["inspect"], { env }),
    cuframes(["inspect", "cam", "--json"], { env }),
    cuframes(["top", "--count", "2", "--interval", "100ms", "--json"], { env }),
  ]);
  expect(text(table.stdout)).toMatch(/^KEY .*\ncam .*320×240 NV12 .*h264/);
  expect(text(table.stdout)).toContain("stuck?[2J");
  expect(parseJsonLines(json.stdout)).toMatchObject([{ key: "cam", subscribers: [{ name: "stuck?[2J" }] }]);
  const looks = parseJsonLines<{ publishers: { subscribers: { dropRate?: number }[] }[] }>(top.stdout);
  expect(looks).toHaveLength(2);
  expect(looks[1]!.publishers[0]!.subscribers[0]!.dropRate).toBeTypeOf("number");
  // It is writing, and what it writes to is not read.
  held.kill("SIGTERM");
  const heldEnd = await held.ended;
  expect(heldEnd.code === 143 || heldEnd.signal === "SIGTERM").toBe(true);

  expect(readdirSync(sockets).sort()).toEqual(["cam.lock", "cam.sock"]);
  expect(statSync(join(sockets, "cam.sock")).mode & 0o777).toBe(0o640);
  source.kill("SIGINT");
  const { code, stdout } = await source.ended;
  expect(code).toBe(130);
  expect(parseJsonLines(stdout).at(-1)).toMatchObject({ event: "ended", key: "cam", packetsDropped: 0 });
  await eventually("socket and lock are gone", () => readdirSync(sockets).length === 0);
  expect(readFileSync(begin!.path).length).toBeGreaterThan(1000);
});

test.each([["--json"], ["--verbose"]])("source %s tells who holds what, and whom it evicts", async (flag) => {
  const source = startCuframes(
    ["source", CLIP, "--key", "crowded", "--realtime", "--loop", "--memory", "host", "--slots", "2"].concat(
      "--max-slots",
      "4",
      flag,
    ),
    { env },
  );
  using hoarder = await Subscriber.connect("crowded", {
    ...{ name: "hoarder", mode: "ordered", timeout: 30_000, runtimeDirectory: sockets },
  });
  const held: Frame[] = [];
  const hoarding = (async () => {
    while (true) held.push(await hoarder.next({ timeout: 20_000 }));
  })();
  await expect(hoarding).rejects.toMatchObject({ code: "EVICTED" });
  const [table, json, top] = await Promise.all([
    cuframes(["inspect"], { env }),
    cuframes(["inspect", "crowded", "--json"], { env }),
    cuframes(["top", "--count", "1"], { env }),
  ]);
  for (const { stdout } of [table, top]) {
    expect(text(stdout)).toMatch(/ SLOTS +EVICTED /);
    expect(text(stdout)).toMatch(/crowded .* \d\/4\/4 +1: hoarder .* ago, 4 for /);
  }
  expect(parseJsonLines(json.stdout)).toMatchObject([{
    slots: 4,
    maxSlots: 4,
    evictions: 1,
    lastEviction: { name: "hoarder", pid: process.pid, frames: 4 },
  }]);
  for (const frame of held) frame.close();
  source.kill("SIGINT");
  const { stdout, stderr } = await source.ended;
  if (flag === "--json") {
    const events = parseJsonLines<{ event: string }>(stdout);
    expect(events).toContainEqual(expect.objectContaining({ event: "grown", key: "crowded", slots: 3 }));
    expect(events).toContainEqual(
      expect.objectContaining({
        event: "evicted",
        key: "crowded",
        name: "hoarder",
        pid: process.pid,
        frames: 4,
      }),
    );
    expect(events.at(-1)).toMatchObject({ event: "ended", evictions: 1 });
  } else {
    expect(stderr).toMatch(/the ring has 3 slots now: hoarder \(pid \d+\), which holds \d frames/);
    expect(stderr).toMatch(/evicted hoarder \(pid \d+\), which holds 4 frames, the oldest for /);
    expect(stderr).toMatch(/1 evicted/);
  }
});

test("--packet-memory, typed, as a variable and in a config file, is how large the packet ring is", async () => {
  const args = ["--memory", "host", "--no-frames", "--no-audio", "--realtime", "--loop"];
  const cameras = join(directory, "cameras.yaml");
  const options = { memory: "host", frames: false, audio: false, realtime: true, loop: true };
  const camera = { url: CLIP, "packet-memory": 7, ...options };
  writeFileSync(cameras, JSON.stringify({ cameras: { "ring-7": camera } }));
  const sources = [
    startCuframes(["source", CLIP, "--key", "ring-3", ...args, "--packet-memory", "3"], { env }),
    startCuframes(["source", CLIP, "--key", "ring-5", ...args], {
      env: { ...env, CUFRAMES_PACKET_MEMORY: "5" },
    }),
    startCuframes(["source", "--config", cameras], { env }),
  ];
  for (const mebibytes of [3, 5, 7]) {
    const before = packetRings();
    using camera = await Subscriber.connect(`ring-${mebibytes}`, {
      ...{ frames: false, timeout: 30_000, runtimeDirectory: sockets },
    });
    await camera.packets().next({ timeout: 30_000 });
    const [ring, ...others] = packetRings().filter(({ inode }) => before.every((old) => old.inode !== inode));
    expect(others).toEqual([]);
    // Its head, and 64 bytes for each of 1024 packets, come in front of the payload; see docs/protocol.md.
    expect(ring!.size).toBe(Math.ceil((0x1040 + 64 * 1024 + mebibytes * 2 ** 20) / 4096) * 4096);
  }
  for (const source of sources) source.kill("SIGTERM");
  for (const { ended } of sources) expect((await ended).code).toBe(143);
});

/** The packet rings that this process has mapped; their sizes in bytes. */
function packetRings(): { inode: string; size: number }[] {
  return readFileSync("/proc/self/maps", "utf8").split("\n").filter((line) =>
    line.includes("/memfd:cuframes-packets")
  ).map((line) => {
    const [range = "", , , , inode = ""] = line.split(/\s+/);
    const [start, end] = range.split("-").map((address) => Number.parseInt(address, 16));
    return { inode, size: end! - start! };
  });
}

test("pipe --reconnect goes on with the next publisher of the key", async () => {
  const args = ["--wait", "30s", "--ordered", "--format", "rawvideo", "--count", "2"];
  const pipe = startCuframes(["pipe", "again", ...args, "--reconnect"], { env });
  for (const [value, written] of [["a", 0], ["b", 16]] as const) {
    using publisher = Publisher.create({
      ...{ key: "again", format: "GRAY8", width: 4, height: 4, memory: "host", runtimeDirectory: sockets },
    });
    await eventually("it is read", () => publisher.stats().subscribers === 1);
    using frame = publisher.acquire();
    for (const { data } of frame.planes) data.fill(value.charCodeAt(0));
    frame.publish();
    await eventually("the frame is written", () => pipe.text.length === written + 16);
  }
  const { code, stdout } = await pipe.ended;
  expect([code, text(stdout)]).toEqual([0, "a".repeat(16) + "b".repeat(16)]);
});
