// What the commands are made of, without a process: config files, rates, parsers.

import process from "node:process";
import { describe, expect, onTestFinished, test } from "vitest";
import { ConfigFile } from "../../src/cli/cameras_config.ts";
import { duration, nameVariables, readEnvironment, size, variableOf } from "../../src/cli/command.ts";
import { exitCodeOf, UsageError } from "../../src/cli/exit.ts";
import { frameRate, frameRateOf } from "../../src/cli/frame_rate.ts";
import { newProgram } from "../../src/cli/program.ts";
import { Rates } from "../../src/cli/rates.ts";
import { redactText } from "../../src/core/redact.ts";
import { sourceCommand } from "../../src/cli/source.ts";
import { printable, PUBLISHER_COLUMNS, seconds } from "../../src/cli/tables.ts";
import { CuframesError, type PublisherReport } from "../../mod.ts";

function config(text: string): ConfigFile {
  const command = sourceCommand();
  nameVariables(command);
  return new ConfigFile("cameras.yaml", text, command);
}

/** The mistakes that a file is refused with. */
function mistakes(text: string): string[] {
  try {
    config(text).cameras();
  } catch (error) {
    if (error instanceof UsageError) return error.message.split("\n");
    throw error;
  }
  throw new Error("the file was taken");
}

describe("a config file", () => {
  test("gives each camera its options, as variables, over the defaults", () => {
    process.env["CONFIG_TEST_PASSWORD"] = "p@ss";
    const cameras = config(`
defaults: { memory: host, ring: 4, input-option: { stimeout: 5, rtsp_flags: prefer_tcp } }
cameras:
  yard:
    url: rtsp://viewer:\${CONFIG_TEST_PASSWORD}@\${CONFIG_TEST_HOST:-10.0.0.7}/stream
    packets: false
    ring: 16
  drive: { url: "file:$\${literal}.mp4", loop: true, size: 640x360 }
`).cameras();
    expect(cameras).toEqual([
      {
        key: "yard",
        variables: {
          CUFRAMES_KEY: "yard",
          CUFRAMES_URL: "rtsp://viewer:p@ss@10.0.0.7/stream",
          CUFRAMES_MEMORY: "host",
          CUFRAMES_SLOTS: "16",
          CUFRAMES_PACKETS: "0",
          CUFRAMES_INPUT_OPTION: "stimeout=5\nrtsp_flags=prefer_tcp",
        },
      },
      {
        key: "drive",
        variables: {
          CUFRAMES_KEY: "drive",
          CUFRAMES_URL: "file:${literal}.mp4",
          CUFRAMES_MEMORY: "host",
          CUFRAMES_SLOTS: "4",
          CUFRAMES_LOOP: "1",
          CUFRAMES_SIZE: "640x360",
          CUFRAMES_INPUT_OPTION: "stimeout=5\nrtsp_flags=prefer_tcp",
        },
      },
    ]);
  });

  test("takes the names that options had before, and does not tell them", () => {
    const [camera] = config(`cameras: { a: { url: x, decoder: cpu, ring: 4, packet-memory: 2 } }`).cameras();
    expect(camera!.variables).toMatchObject({
      CUFRAMES_HARDWARE: "cpu",
      CUFRAMES_SLOTS: "4",
      CUFRAMES_DATA_SIZE: "2",
    });
    const [told] = mistakes(`cameras: { a: { url: x, decodr: cpu } }`);
    expect(told).toMatch(/there are url, .*slots, .*hardware, .*data-size/);
    expect(told).not.toMatch(/ring|decoder|packet-memory/);
  });

  test("is refused with every mistake at its line", () => {
    expect(
      mistakes(`
defaults: { rnig: 4 }
cameras:
  "a b": { url: x.mp4 }
  one: { url: 7 }
  two: { url: x.mp4, size: big, loop: perhaps, memory: disk }
  three: { url: "rtsp://u:\${CONFIG_TEST_UNSET}@h/" }
  four: 4
kameras: {}
`).map((line) => line.replace(/(: there are).*/, "$1")),
    ).toEqual([
      expect.stringContaining('cameras.yaml:9: "kameras" is not known here'),
      expect.stringContaining('cameras.yaml:2: defaults, field "rnig" is not known'),
      expect.stringMatching(/^cameras.yaml:4: camera "a b": "a b" is wrong/),
      expect.stringMatching(/^cameras.yaml:5: camera "one", field "url": it must be a URL/),
      expect.stringMatching(/^cameras.yaml:6: .*"size": "big" is wrong/),
      expect.stringMatching(/^cameras.yaml:6: .*"loop": it must be true or false/),
      expect.stringMatching(/^cameras.yaml:6: .*"memory": "disk" is wrong.*cuda/),
      expect.stringMatching(/^cameras.yaml:7: .*CONFIG_TEST_UNSET is not set/),
      expect.stringMatching(/^cameras.yaml:8: camera "four": it must have fields/),
    ]);
    expect(mistakes("cameras: { one: {} }")).toEqual(['cameras.yaml:1: camera "one" has no "url"']);
    expect(mistakes("cameras: {}")[0]).toContain('"cameras" has none');
    expect(mistakes("")[0]).toContain("the file");
    expect(mistakes("- a\n- b")[0]).toContain("it must have fields");
    expect(mistakes("cameras:\n  one: { url: x\n  two: y }\n")[0]).toMatch(/^cameras.yaml:\d: /);
    expect(mistakes("cameras: { one: { url: x }, one: { url: y } }")[0]).toMatch(/unique/i);
  });

  test("tells each mistake once, where it is, and what follows from one is none", () => {
    process.env["CONFIG_TEST_EMPTY"] = "";
    onTestFinished(() => void delete process.env["CONFIG_TEST_EMPTY"]);
    expect(mistakes(`cameras:
  one: { size: 1x1 }
  12:
    realtime: true
  007:
    url: x.mp4
    size: big
  "8":
    size: \${CONFIG_TEST_UNSET}
    loop: \${CONFIG_TEST_UNSET}
    url: \${CONFIG_TEST_UNSET}
  two:
    url: 7
  "": { url: x }
  three:
    url: x
    size: [1, 2]
    input-format: { a: b }
    input-option: { video_size: [1] }
  four:
`)).toEqual([
      'cameras.yaml:2: camera "one" has no "url"',
      'cameras.yaml:3: camera "12" has no "url"',
      expect.stringMatching(/^cameras.yaml:7: camera "007", field "size": "big" is wrong/),
      expect.stringMatching(/^cameras.yaml:9: camera "8", field "size": .* CONFIG_TEST_UNSET is not set$/),
      expect.stringMatching(/^cameras.yaml:10: camera "8", field "loop": .* CONFIG_TEST_UNSET is not set$/),
      expect.stringMatching(/^cameras.yaml:11: camera "8", field "url": .* CONFIG_TEST_UNSET is not set$/),
      expect.stringMatching(/^cameras.yaml:13: camera "two", field "url": it must be a URL/),
      expect.stringMatching(/^cameras.yaml:14: camera "": "" is wrong/),
      expect.stringMatching(/^cameras.yaml:17: .*"size": it must be a text or a number$/),
      expect.stringMatching(/^cameras.yaml:18: .*"input-format": it must be a text or a number$/),
      expect.stringMatching(/^cameras.yaml:19: .*"input-option": "video_size" must be a text or a number$/),
      expect.stringMatching(/^cameras.yaml:20: camera "four": it must have fields of its own$/),
    ]);
    expect(mistakes("cameras:\n  a: { url: *none }\n  b: *other\n  c: { <<: *third, url: x }")).toEqual([
      expect.stringMatching(/^cameras.yaml:2: \*none stands for nothing/),
      expect.stringMatching(/^cameras.yaml:3: \*other stands for nothing/),
      expect.stringMatching(/^cameras.yaml:4: \*third stands for nothing/),
    ]);
    // A default that is wrong is no mistake of each camera.
    expect(mistakes("defaults: { url: 7 }\ncameras: { a: { loop: true }, b: {} }")).toHaveLength(1);
    const [camera] = config(`
cameras:
  1: { url: "\${CONFIG_TEST_EMPTY}x", <<: &own { loop: "\${CONFIG_TEST_UNSET:-true}", format: "\${CONFIG_TEST_UNSET:-}" } }
`).cameras();
    expect(camera).toEqual({
      key: "1",
      variables: { CUFRAMES_KEY: "1", CUFRAMES_URL: "x", CUFRAMES_LOOP: "1" },
    });
    const merged = config(`
defaults: &shared { url: d, size: 1x1 }
cameras:
  a: { <<: *shared, size: 2x2 }
  b: { size: 3x3, <<: [*shared] }
  c: &self { <<: *self, url: y }
`);
    expect(merged.cameras().map(({ variables }) => [variables["CUFRAMES_URL"], variables["CUFRAMES_SIZE"]]))
      .toEqual([["d", "2x2"], ["d", "3x3"], ["y", "1x1"]]);
  });

  test("lets a camera's field by its former name come before a default by the present one", () => {
    const [camera] = config("defaults: { slots: 6 }\ncameras: { a: { url: x, ring: 4 } }").cameras();
    expect(camera!.variables).toMatchObject({ CUFRAMES_SLOTS: "4" });
  });

  test("does not tell a password with a mistake", () => {
    const told = mistakes(`cameras: { one: { url: "rtsp://u:s3cret@h/", ring: "rtsp://u:s3cret@h/" } }`);
    expect(redactText(told.join("\n"))).not.toContain("s3cret");
  });
});

describe("an option by the name that it had before", () => {
  /** The values that a command line and the environment come to. */
  function values(args: string[], env: Record<string, string> = {}): Record<string, unknown> {
    const command = sourceCommand().exitOverride().action(() => {});
    nameVariables(command);
    Object.assign(process.env, env);
    onTestFinished(() => Object.keys(env).forEach((name) => delete process.env[name]));
    readEnvironment(command);
    return command.parse(args, { from: "user" }).opts();
  }

  test("is the option that it stands for", () => {
    const args = ["--ring", "5", "--decoder", "cpu", "--packet-memory", "3"];
    expect(values(args)).toMatchObject({ slots: 5, hardware: "none", dataSize: 3 });
    expect(values(["--hardware", "cpu"])).toMatchObject({ hardware: "none" });
    expect(values([])).toMatchObject({ hardware: "auto", dataSize: 16 });
  });

  test("comes behind it, and behind what is typed, in the environment", () => {
    expect(values([], { CUFRAMES_RING: "5" })).toMatchObject({ slots: 5 });
    expect(values([], { CUFRAMES_RING: "5", CUFRAMES_SLOTS: "6" })).toMatchObject({ slots: 6 });
    expect(values(["--slots", "7"], { CUFRAMES_RING: "5" })).toMatchObject({ slots: 7 });
    expect(values(["--ring", "7"], { CUFRAMES_SLOTS: "5" })).toMatchObject({ slots: 7 });
  });
});

describe("a variable of the environment", () => {
  const { commands } = newProgram();

  test("means the same to every command that reads it", () => {
    const meanings = new Map<string, string>();
    for (const command of commands) {
      for (const option of command.options) {
        const variable = variableOf(option, command);
        const where = `${variable} of ${command.name()}`;
        // A flag and its "no-" are one option.
        const meaning = option.flags.replace("--no-", "--").split(" ")[0] + option.description;
        const isPair = command.options.some((one) => one !== option && variableOf(one, command) === variable);
        const known = meanings.get(variable);
        if (known === undefined) meanings.set(variable, meaning);
        else if (!isPair) expect(`${where}: ${meaning}`).toBe(`${where}: ${known}`);
      }
    }
    // None is one that the library reads for something else.
    for (const name of ["CACHE_DIR", "LIBRARY", "TRACE", "LOG", "DEBUG", "SUPERVISED", "URL"]) {
      expect(meanings.has(`CUFRAMES_${name}`)).toBe(false);
    }
  });

  /** What a command has of its variables, and what it is warned of. */
  function read(name: string, variables: Record<string, string>) {
    Object.assign(process.env, variables);
    onTestFinished(() => Object.keys(variables).forEach((name) => delete process.env[name]));
    const command = newProgram().commands.find((one) => one.name() === name)!;
    const warnings = readEnvironment(command);
    return { options: command.opts(), warnings };
  }

  test("that is one command's is nothing to the others", () => {
    const variables = {
      ...{ CUFRAMES_FORMAT: "RGBA", CUFRAMES_PACKETS: "0", CUFRAMES_RECONNECT: "0", CUFRAMES_INTERVAL: "3s" },
      ...{ CUFRAMES_PIPE_FORMAT: "nut", CUFRAMES_PIPE_COUNT: "5", CUFRAMES_PIPE_NAME: "p" },
      ...{ CUFRAMES_RECORD_FORMAT: "mkv", CUFRAMES_RECORD_NAME: "r" },
      ...{ CUFRAMES_SNAPSHOT_FORMAT: "png", CUFRAMES_TOP_COUNT: "2", CUFRAMES_WAIT: "4s" },
    };
    const of = (name: string) => {
      const { options, warnings } = read(name, variables);
      expect(warnings).toEqual([]);
      return options;
    };
    expect(of("source")).toMatchObject({ format: "RGBA", packets: false, reconnect: false, interval: 3 });
    const pipe = of("pipe");
    expect(pipe).toMatchObject({ format: "nut", count: 5, name: "p", wait: 4 });
    expect([pipe["packets"], pipe["reconnect"]]).toEqual([undefined, undefined]);
    expect(of("record")).toMatchObject({ format: "mkv", name: "r", reconnect: true, wait: 4 });
    expect(of("snapshot")).toMatchObject({ format: "png", wait: 4 });
    expect(of("top")).toMatchObject({ count: 2, interval: 1 });
  });

  test("that a command read before and does not read now is told, and the one that it reads", () => {
    expect(read("pipe", { CUFRAMES_FORMAT: "rawvideo", CUFRAMES_NAME: "x" })).toMatchObject({
      options: { name: "pipe" },
      warnings: [
        "CUFRAMES_FORMAT is not read by pipe: its variable is CUFRAMES_PIPE_FORMAT",
        "CUFRAMES_NAME is not read by pipe: its variable is CUFRAMES_PIPE_NAME",
      ],
    });
    expect(() => read("source", { CUFRAMES_FORMAT: "mkv" })).toThrow(
      "For record it is CUFRAMES_RECORD_FORMAT.",
    );
  });

  test("that is empty counts as not set", async () => {
    const variables = { CUFRAMES_REALTIME: "", CUFRAMES_SIZE: "", CUFRAMES_FORMAT: "" };
    Object.assign(process.env, variables);
    onTestFinished(() => Object.keys(variables).forEach((name) => delete process.env[name]));
    const command = sourceCommand().exitOverride().action(() => {});
    nameVariables(command);
    readEnvironment(command);
    const options = (await command.parseAsync([], { from: "user" })).opts();
    expect([options["realtime"], options["size"], options["format"]]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

test("rates are those between two looks", () => {
  const subscriber = { name: "one", pid: 2, received: 10, dropped: 1, lag: 5, packetsReceived: 0 };
  const report = (received: number, dropped: number, published: number) => ({
    key: "cam",
    pid: 1,
    frameRate: 25,
    packets: { codecId: 27, published },
    subscribers: [{ ...subscriber, received, dropped }, { ...subscriber, received: 2 * received, dropped }],
  } as unknown as PublisherReport);
  const rates = new Rates();
  const first = rates.of([report(10, 1, 100)], 0)[0]!;
  expect(first.packetRate).toBeUndefined();
  expect(first.subscribers[0]).toMatchObject({ frameRate: undefined, latency: 0.2 });
  const second = rates.of([report(20, 4, 150)], 2000)[0]!;
  expect(second).toMatchObject({ packetRate: 25 });
  expect(second.subscribers).toMatchObject([{ frameRate: 5, dropRate: 1.5 }, { frameRate: 10 }]);
  // Another subscriber of that name counts from 0.
  expect(rates.of([report(3, 0, 200)], 3000)[0]!.subscribers[0]!.frameRate).toBeUndefined();
});

test("a publisher's picture is told in short", () => {
  const column = PUBLISHER_COLUMNS.find(({ title }) => title === "PICTURE")!;
  const plain = {
    colorSpace: { matrix: null, fullRange: null },
    ...{ displayWidth: 320, displayHeight: 240, rotation: 0, flip: false, fieldOrder: "progressive" },
  };
  const told = (picture: object | undefined) =>
    column.text({
      ...{ hasFrames: true, codedWidth: 320, codedHeight: 240, picture: picture && { ...plain, ...picture } },
    } as unknown as PublisherReport);
  expect(told(undefined)).toBe("-");
  expect(told({})).toBe("-");
  expect(told({ colorSpace: { matrix: "bt709", fullRange: false } })).toBe("bt709");
  expect(told({ ...{ displayWidth: 240, displayHeight: 465, rotation: 90, flip: true, fieldOrder: "tff" } }))
    .toBe(
      "240×465 90° flip tff",
    );
  expect(told({ colorSpace: { matrix: "smpte240m", fullRange: true } })).toBe("smpte240m full");
});

test("durations, sizes and rates are read, and anything else is refused", () => {
  expect(["500ms", "60s", "5m", "1h", "1d", "2.5", "7"].map(duration)).toEqual([
    ...[0.5, 60, 300, 3600, 86400, 2.5, 7],
  ]);
  for (const wrong of ["", "0", "-1s", "1w", "1 s", "s", "1e9", "Infinity"]) {
    expect(() => duration(wrong)).toThrow("duration");
  }
  expect(size("1280x720")).toEqual({ width: 1280, height: 720 });
  for (const wrong of ["0x1", "1x", "1x99999", "axb", "1x1x1"]) expect(() => size(wrong)).toThrow("WIDTHx");
  expect(["25", "29.97", "30000/1001", "12.5"].map(frameRate)).toEqual([
    { num: 25, den: 1 },
    { num: 30000, den: 1001 },
    { num: 30000, den: 1001 },
    { num: 12500, den: 1000 },
  ]);
  for (const wrong of ["", "0", "1/0", "1001", "x"]) {
    expect(() => frameRate(wrong)).toThrow("frames a second");
  }
  expect(frameRateOf(33_366_667n, 0)).toEqual({ num: 30000, den: 1001 });
  expect(frameRateOf(0n, 24.9)).toEqual({ num: 25, den: 1 });
  expect(frameRateOf(0n, 0)).toBeUndefined();
});

test("words of other processes do not steer the terminal", () => {
  expect(printable("a\x1b[2Jb\u202e")).toBe("a\ufffd[2Jb\ufffd");
  expect([0.0123, 1.25, 61, 7260, 90_000].map(seconds)).toEqual(["12ms", "1.3s", "1m1s", "2h1m", "1d1h"]);
});

test("exit codes tell errors apart", () => {
  const codes = ["NOT_FOUND", "ALREADY_EXISTS", "TIMEOUT", "INVALID_ARGUMENT", "CUDA"] as const;
  expect(codes.map((code) => exitCodeOf(new CuframesError(code, "")))).toEqual([3, 4, 5, 2, 1]);
  expect(exitCodeOf(Object.assign(new Error(), { code: "ENOSPC" }))).toBe(6);
  expect(exitCodeOf(new UsageError(""))).toBe(2);
});
