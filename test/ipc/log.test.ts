// CUFRAMES_LOG: what the library's threads do, told on standard error, and silence where nobody asked.

import { join } from "node:path";
import { expect, test } from "vitest";
import { Peer } from "../support/peer.ts";
import { eventually, type Process, stages } from "../support/processes.ts";
import { hello } from "../support/wire.ts";

const stage = stages();
const size = { width: 16, height: 16 };

/** A publisher and a subscriber that have taken a frame; then the subscriber ends, and a stranger comes. */
async function oneFrame(key: string, env: Record<string, string>): Promise<[Process, Process]> {
  const publisher = stage().start("publisher", { key, ...size, slots: 3 }, { env });
  await publisher.event("ready");
  const subscriber = stage().start("remote", { key }, { env });
  await subscriber.event("ready");
  await subscriber.ask({ do: "connect" }, "connected");
  const took = subscriber.ask({ do: "take", timeout: 30_000 }, "took");
  // A frame that was there already would be taken without a wait.
  if (env["CUFRAMES_LOG"] === "debug") {
    await eventually("the subscriber waits", () => subscriber.errors.includes("waits for object"));
  }
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  await took;
  await subscriber.end();
  return [publisher, subscriber];
}

test("with CUFRAMES_LOG=debug each thread tells what it does, a line each", async () => {
  const [publisher, subscriber] = await oneFrame("told", { CUFRAMES_LOG: "debug" });
  await eventually("the publisher has seen the end", () => publisher.errors.includes("has gone"));
  const lines = [...publisher.errors.split("\n"), ...subscriber.errors.split("\n")]
    .filter((line) => /^\d+\.\d{6} /.test(line));
  for (
    const expected of [
      /^\d+\.\d{6} cuframes: serves the sockets of this process$/,
      /^\d+\.\d{6} cuframes: told: accepted connection \d+$/,
      /^\d+\.\d{6} cuframes: told: shook hands with connection \d+, a subscriber now$/,
      /^\d+\.\d{6} cuframes: told: subscriber on connection \d+ has gone$/,
      /^\d+\.\d{6} cuframes-conn: connects to told$/,
      /^\d+\.\d{6} cuframes-conn: connected to told$/,
      /^\d+\.\d{6} cuframes-wait: waits for object \d+$/,
      /^\d+\.\d{6} cuframes-wait: calls back for object \d+$/,
    ]
  ) expect(lines).toContainEqual(expect.stringMatching(expected));
});

test("a connection that is dropped, and one that fails, say why", async () => {
  const env = { CUFRAMES_LOG: "debug" };
  const publisher = stage().start("publisher", { key: "why", ...size, slots: 3 }, { env });
  await publisher.event("ready");
  const stranger = await Peer.start(stage());
  await stranger.send(await stranger.connect(join(stage().directory, "why.sock")), hello({ version: 1 }));
  await eventually(
    "the publisher says why",
    () => /cuframes: why: dropped connection \d+: it speaks another version\n/.test(publisher.errors),
  );
  const lonely = stage().start("remote", { key: "nobody" }, { env });
  await lonely.event("ready");
  await lonely.ask({ do: "connect", options: { timeout: 1 } }, "refused");
  expect(lonely.errors).toMatch(/cuframes-conn: failed to connect to nobody: nobody publishes as nobody/);
});

test("without it, and with another value, nothing is said", async () => {
  for (const env of [{ CUFRAMES_LOG: "" }, { CUFRAMES_LOG: "1" }]) {
    const [publisher, subscriber] = await oneFrame("silent", env);
    await publisher.end();
    expect(publisher.errors + subscriber.errors).not.toMatch(/cuframes/);
  }
});
