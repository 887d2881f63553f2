// Where a publisher and its subscribers meet when nobody names a directory, as docs/protocol.md says.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import process from "node:process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Process, stages, type StartOptions } from "../support/processes.ts";
import { asUser, cannotMount, type User, withoutMounts } from "../support/users.ts";

const stage = stages();
const key = "cam";
const options = { key, width: 16, height: 16, slots: 2, runtimeDirectory: undefined };

let user: User;
/** Theirs in /tmp. */
let fallback: string;
beforeEach(() => {
  // Tests of several runs may be under way.
  const uid = 100_000 + Math.floor(Math.random() * 900_000_000);
  user = { uid, gid: uid };
  fallback = `/tmp/cuframes-${uid}`;
});
afterEach(() => rmSync(fallback, { recursive: true, force: true }));

function start(
  program: "publisher" | "remote",
  run: { cuframes?: string },
  env: Record<string, string> = {},
): Process {
  const others = asUser(stage(), user, run);
  return stage().start(
    program,
    options,
    { ...others, env: { ...others.env, ...env } } satisfies StartOptions,
  );
}

/** Makes a directory that the user owns. */
function theirs(path: string, mode = 0o700): string {
  mkdirSync(path);
  chownSync(path, user.uid, user.gid);
  chmodSync(path, mode);
  return path;
}

async function expectMeeting(subscriber: Process, publisher: Process): Promise<void> {
  await subscriber.event("connected");
  await publisher.ask({ do: "publish", frames: 1 }, "published");
  expect(await subscriber.ask({ do: "take", timeout: 10_000 }, "took")).toMatchObject({
    sequence: 1,
    whole: true,
  });
}

describe.skipIf(cannotMount)(`the runtime directory that nobody has named (${withoutMounts})`, () => {
  // Publishers and subscribers here have a /run each: what they meet in is elsewhere.
  test("is /run/cuframes where it can be used", async () => {
    const publisher = start("publisher", { cuframes: "0777" }, {
      XDG_RUNTIME_DIR: theirs(`${stage().directory}/xdg`),
    });
    await publisher.event("ready");
    const folder = `/proc/${publisher.pid}/root/run/cuframes`;
    expect(statSync(`${folder}/${key}.sock`)).toMatchObject({ uid: user.uid });
    expect(existsSync(`${stage().directory}/xdg/cuframes`)).toBe(false);
    expect(existsSync(fallback)).toBe(false);
  });

  test.each<{ why: string; run: { cuframes?: string } }>([
    { why: "is not there and cannot be made", run: {} },
    { why: "cannot be written to", run: { cuframes: "0755" } },
  ])(
    "is in XDG_RUNTIME_DIR where /run/cuframes $why",
    async ({ run }) => {
      const env = { XDG_RUNTIME_DIR: theirs(`${stage().directory}/xdg`) };
      const publisher = start("publisher", run, env);
      await publisher.event("ready");
      const folder = `${env.XDG_RUNTIME_DIR}/cuframes`;
      expect(statSync(folder).mode & 0o777).toBe(0o750 & ~process.umask());
      expect(existsSync(`${folder}/${key}.sock`)).toBe(true);
      expect(existsSync(fallback)).toBe(false);

      const subscriber = start("remote", run, env);
      await subscriber.event("ready");
      subscriber.send({ do: "connect" });
      await expectMeeting(subscriber, publisher);
    },
  );

  test("is the user's own in /tmp where that cannot be used either", async () => {
    for (const env of [{}, { XDG_RUNTIME_DIR: `${stage().directory}/missing` }]) {
      const publisher = start("publisher", {}, env);
      await publisher.event("ready");
      expect(statSync(fallback)).toMatchObject({ uid: user.uid });
      expect(statSync(fallback).mode & 0o777).toBe(0o750 & ~process.umask());
      const subscriber = start("remote", {}, env);
      await subscriber.event("ready");
      subscriber.send({ do: "connect" });
      await expectMeeting(subscriber, publisher);
      await publisher.ask({ do: "close" }, "closed");
    }
  });

  test.each(["XDG_RUNTIME_DIR", "/tmp"])(
    "in %s is made by a subscriber that waits, and watched",
    async (where) => {
      const env: Record<string, string> = where === "/tmp"
        ? {}
        : { XDG_RUNTIME_DIR: theirs(`${stage().directory}/xdg`) };
      const folder = where === "/tmp" ? fallback : `${env["XDG_RUNTIME_DIR"]}/cuframes`;
      const subscriber = start("remote", {}, env);
      await subscriber.event("ready");
      expect(existsSync(folder)).toBe(false);
      subscriber.send({ do: "connect", options: { timeout: 60_000 } });
      const publisher = start("publisher", {}, env);
      await publisher.event("ready");
      expect(existsSync(`${folder}/${key}.sock`)).toBe(true);
      await expectMeeting(subscriber, publisher);
    },
  );

  test("is found by its socket, by a subscriber for which another one comes first", async () => {
    const publisher = start("publisher", {});
    await publisher.event("ready");
    const subscriber = start("remote", { cuframes: "0777" });
    await subscriber.event("ready");
    subscriber.send({ do: "connect" });
    await expectMeeting(subscriber, publisher);
  });

  describe("in /tmp must be the user's alone", () => {
    const refusal = { code: "PERMISSION", message: expect.stringContaining("only this user can write") };
    const makers: [what: string, make: () => void][] = [
      ["another user's", () => {
        mkdirSync(fallback);
        chmodSync(fallback, 0o755);
      }],
      ["writable by the group", () => theirs(fallback, 0o770)],
      ["writable by others", () => theirs(fallback, 0o702)],
      ["a link to one that is right", () => symlinkSync(theirs(`${stage().directory}/right`), fallback)],
    ];

    test.each(makers)("%s: a publisher is refused, and a subscriber who waits", async (_what, make) => {
      make();
      const publisher = start("publisher", {});
      expect(await publisher.event("refused")).toMatchObject(refusal);
      const subscriber = start("remote", {});
      await subscriber.event("ready");
      expect(await subscriber.ask({ do: "connect", options: { timeout: 60_000 } }, "refused")).toMatchObject(
        refusal,
      );
    });

    test.each(makers)("%s: a socket that is there is connected to by nobody", async (_what, make) => {
      make();
      const bait = `${stage().directory}/bait`;
      const impostor = stage().start("publisher", { ...options, runtimeDirectory: bait, socketMode: 0o666 });
      await impostor.event("ready");
      renameSync(`${bait}/${key}.sock`, `${fallback}/${key}.sock`);
      const subscriber = start("remote", {});
      await subscriber.event("ready");
      expect(await subscriber.ask({ do: "connect" }, "refused")).toMatchObject(refusal);
    });
  });
});
