// Names of options that nobody has: refused where they were to be another one.

import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { checkOptions, optionNames } from "../../src/core/mod.ts";
import {
  type CuframesError,
  DescriptorSocket,
  dmabufFormats,
  importDmabuf,
  importEglImage,
  inspect,
  Publisher,
  Subscriber,
} from "../../mod.ts";
import { openMedia, Recorder } from "../../media.ts";
import { CameraSource } from "../../source.ts";
import { createPublisher, expectCode, publish, subscribe } from "../support/ring.ts";

const names = optionNames<
  { timeout?: number; signal?: AbortSignal; runtimeDirectory?: string; key?: string }
>({
  timeout: true,
  signal: true,
  runtimeDirectory: true,
  key: true,
});

function refusal(options: unknown): string {
  try {
    checkOptions(options as object, names);
    return "taken";
  } catch (error) {
    expect((error as CuframesError).code).toBe("INVALID_ARGUMENT");
    return (error as Error).message;
  }
}

test.each([
  ["tiemout", "timeout"],
  ["timout", "timeout"],
  ["Timeout", "timeout"],
  ["time_out", "timeout"],
  ["timeoutMs", "timeout"],
  ["singal", "signal"],
  ["runtimeDir", "runtimeDirectory"],
  ["runtime_directory", "runtimeDirectory"],
  ["keys", "key"],
])("%s is refused, and %s named", (typed, meant) => {
  expect(refusal({ [typed]: 1 })).toBe(`unknown option "${typed}": did you mean "${meant}"?`);
  expect(refusal(runInNewContext(`({ ${typed}: 1 })`))).toContain(meant);
  expect(refusal(Object.assign(Object.create(null), { [typed]: null }))).toContain(meant);
});

test("what WebIDL takes for no entry, and what is somebody else's, passes", () => {
  class Settings {
    timeout = 5;
    _timeout = 6;
  }
  const inherited = Object.create({ tiemout: 1, timeout: 5 });
  const others = [undefined, null, {}, { tiemout: undefined }, { [Symbol("tiemout")]: 1 }, {
    width: 1,
    foo: 2,
  }];
  for (const options of [...others, new Settings(), inherited]) expect(refusal(options)).toBe("taken");
  expect(checkOptions(inherited, names)).toMatchObject({ timeout: 5 });
  expect(refusal({ ["x".repeat(100_000)]: 1 })).toBe("taken");
  expect(refusal(5)).toBe("the options are 5: they must be an object");
});

/** As a promise, whether the call throws or rejects. */
async function rejected(call: () => unknown): Promise<unknown> {
  return await call();
}

describe("every call with options", () => {
  const wrong = (options: object) => options as never;
  const size = { width: 16, height: 16 };
  const calls: [string, string, () => unknown][] = [
    ["Publisher.create", "slots", () => Publisher.create(wrong({ key: "a", ...size, solts: 4 }))],
    ["Subscriber.connect", "timeout", () => Subscriber.connect("a", wrong({ tiemout: 1 }))],
    ["inspect", "timeout", () => inspect("a", wrong({ timeuot: 1 }))],
    [
      "CameraSource.start",
      "transport",
      () => CameraSource.start(wrong({ input: "x", key: "a", trasport: "tcp" })),
    ],
    [
      "CameraSource.start's packets",
      "dataSize",
      () => CameraSource.start(wrong({ input: "x", key: "a", packets: { datasize: 1 } })),
    ],
    ["openMedia", "realtime", () => openMedia("x", wrong({ realTime: true }))],
    [
      "Recorder.create",
      "durable",
      () => Recorder.create("x.mp4", wrong({ codecId: 27, ...size, duarble: true })),
    ],
    ["DescriptorSocket.connect", "timeout", () => DescriptorSocket.connect("@a", wrong({ tiemout: 1 }))],
    ["DescriptorSocket.listen", "mode", () => DescriptorSocket.listen("@a", wrong({ moed: 0o600 }))],
    ["dmabufFormats", "memory", () => dmabufFormats(wrong({ memroy: "host" }))],
    [
      "importDmabuf",
      "modifier",
      () => importDmabuf(wrong({ ...size, fourcc: "R8", planes: [], modfier: 0n })),
    ],
    ["importEglImage", "fourcc", () => importEglImage(1n, 1n, wrong({ fourc: "R8" }))],
  ];
  test.each(calls)("%s names %s", async (_, meant, call) => {
    await expectCode(rejected(call), "INVALID_ARGUMENT", `did you mean "${meant}"?`);
  });

  test("those of the objects too", async () => {
    using publisher = createPublisher();
    using subscriber = await subscribe(publisher);
    const packets = publisher.enablePackets({ codec: "h264" });
    await expectCode(
      () => createPublisher().enablePackets(wrong({ codec: "h264", slot: 4 })),
      "INVALID_ARGUMENT",
      "slots",
    );
    publish(publisher, 1);
    using frame = await subscriber.next();
    using reader = subscriber.packets();
    using slot = publisher.acquire();
    const wait = wrong({ tiemout: 1 });
    const objects: [string, () => unknown][] = [
      ["timeout", () => subscriber.next(wait)],
      ["timeout", () => subscriber.nextSync(wait)],
      ["timeout", () => subscriber.values(wait).next()],
      ["sinceConnection", () => subscriber.packets(wrong({ sinceConection: true }))],
      ["timeout", () => reader.next(wait)],
      ["timeout", () => reader.nextSync(wait)],
      ["timeout", () => reader.values(wait).next()],
      ["timeout", () => publisher.acquire(wait)],
      ["timeout", () => publisher.acquireAsync(wait)],
      ["timestamp", () => slot.publish(wrong({ timestmap: 1 }))],
      ["devicePointer", () => slot.copyFrom(wrong({ devicePoniter: 1n }))],
      [
        "decodeTimestamp",
        () => packets.write(wrong({ type: "key", data: Uint8Array.of(1), decodeTimstamp: 1 })),
      ],
      ["layout", () => frame.copyTo(new Uint8Array(10_000), wrong({ layuot: [] }))],
      ["rect", () => frame.allocationSize(wrong({ rcet: {} }))],
    ];
    for (const [meant, call] of objects) {
      await expectCode(rejected(call), "INVALID_ARGUMENT", `did you mean "${meant}"?`);
    }
    expect(slot.publish(null as never)).toBe(2n);
    (await subscriber.next(null as never)).close();
  });
});
