// The runtime directory as users meet it: a relative one, one that they may not look into, and what the dead left there.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { Publisher } from "../../mod.ts";
import { cuframes, cuframesCommand, Program, startCuframes } from "../support/cli.ts";
import { eventually, stages } from "../support/processes.ts";

const stage = stages();
const key = "cam";
const size = { width: 64, height: 48 };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe.each(["option", "variable"])("a relative directory as %s", (way) => {
  test("stays what it was when the object was made, wherever the process goes", async () => {
    const place = way === "option" ? { runtimeDirectory: "run" } : { runtimeDirectory: undefined };
    const env = { CUFRAMES_RUNTIME_DIR: way === "option" ? "" : "run" };
    const { directory } = stage();
    const run = join(directory, "run");
    const publisher = stage().start("publisher", { key, ...size, ...place, later: true }, { env });
    await publisher.event("waiting");
    await publisher.ask({ do: "chdir", directory }, "moved");
    await publisher.ask({ do: "create" }, "ready");
    expect(readdirSync(run).sort()).toEqual([`${key}.lock`, `${key}.sock`]);
    const reader = stage().start("remote", { key, ...place }, { env });
    await reader.event("ready");
    await reader.ask({ do: "chdir", directory }, "moved");
    await reader.ask({ do: "connect", options: { reconnect: true } }, "connected");
    for (const moving of [publisher, reader]) await moving.ask({ do: "chdir", directory: "/" }, "moved");
    await publisher.ask({ do: "close" }, "closed");
    expect(readdirSync(run)).toEqual([]);

    const next = stage().start("publisher", { key, ...size, runtimeDirectory: run });
    await next.event("ready");
    reader.send({ do: "take", timeout: 20_000 });
    await next.ask({ do: "run" }, "running");
    expect(await reader.event("took")).toMatchObject({ whole: true });
  });
});

const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
const canBecomeNobody = process.getuid?.() === 0 &&
  succeedsSync(nobody[0]!, [...nobody.slice(1), "test", "-r", new URL(import.meta.url).pathname]);
/** A group that has a name everywhere. */
const daemon = Number(/^daemon:[^:]*:(\d+)/m.exec(readFileSync("/etc/group", "utf8"))?.[1]);

describe.skipIf(!canBecomeNobody)("another user's directory (skipped unless root)", () => {
  function closedDirectory(mode: number): { run: string; env: Record<string, string> } {
    const { directory } = stage();
    const [run, home] = [join(directory, "run"), join(directory, "home")];
    for (const folder of [run, home]) mkdirSync(folder);
    chownSync(run, 0, daemon);
    for (const [folder, bits] of [[directory, 0o755], [home, 0o777], [run, mode]] as const) {
      chmodSync(folder, bits);
    }
    return { run, env: { HOME: home, DENO_DIR: home, CUFRAMES_RUNTIME_DIR: run, NO_COLOR: "1" } };
  }

  async function asNobody(args: readonly string[], env: Record<string, string>) {
    const program = new Program([...nobody, ...cuframesCommand(args)], { env });
    program.stdin.end();
    return await program.ended;
  }

  test.each([
    { mode: 0o750, verb: "search", advice: /join the group daemon \(usermod -aG daemon USER/ },
    { mode: 0o700, verb: "search", advice: /its group may not either: its owner has to change the mode/ },
  ])("of mode $mode is told with owner, group and what to do", async ({ mode, verb, advice }) => {
    const { run, env } = closedDirectory(mode);
    using _publisher = Publisher.create({ key, ...size, runtimeDirectory: run, socketMode: 0o666 });
    const facts = new RegExp(
      `may not ${verb} ${run}.*owner root \\(uid 0\\), group daemon \\(gid ${daemon}\\), mode 0${
        mode.toString(8)
      }`,
    );
    const reader = stage().start("remote", { key, runtimeDirectory: run }, { prefix: nobody, env });
    await reader.event("ready");
    for (
      const command of [{ do: "connect" }, { do: "inspect" }, { do: "connect", options: { timeout: 200 } }]
    ) {
      const { code, message } = await reader.ask<{ code: string; message: string }>(command, "refused");
      expect(code).toBe("PERMISSION");
      expect(message).toMatch(facts);
      expect(message).toMatch(advice);
    }
    const lines = [["inspect"], ["inspect", key], ["top", "--count", "1"], ["pipe", key], [
      "inspect",
      "--json",
    ]];
    for (const outcome of await Promise.all(lines.map((args) => asNobody(args, env)))) {
      expect(outcome.stderr.replace("list", "search")).toMatch(facts);
      expect(outcome.stderr).toMatch(advice);
      expect(outcome).toMatchObject({ code: 1 });
      expect(text(outcome.stdout)).not.toContain("no publisher");
    }
  });

  test("among the standard ones is not passed over in silence", async () => {
    const { run, env } = closedDirectory(0o755);
    const folder = join(run, "cuframes");
    using _publisher = Publisher.create({ key, ...size, runtimeDirectory: folder, socketMode: 0o666 });
    chmodSync(folder, 0o750);
    const variables = { ...env, CUFRAMES_RUNTIME_DIR: "", XDG_RUNTIME_DIR: run };
    const reader = stage().start("remote", { key, runtimeDirectory: undefined }, {
      prefix: nobody,
      env: variables,
    });
    await reader.event("ready");
    for (const timeout of [0, 100]) {
      // Or of /run/cuframes, where this machine has one that is closed too.
      expect(await reader.ask({ do: "connect", options: { timeout } }, "refused")).toMatchObject({
        code: "PERMISSION",
        message: expect.stringMatching(`may not search (${folder}|/run/cuframes)`),
      });
    }
    chmodSync(folder, 0o755);
    await reader.ask({ do: "connect" }, "connected");
  });

  test("that may be searched and not listed lets a subscriber in, and tells inspect", async () => {
    const { run, env } = closedDirectory(0o711);
    using _publisher = Publisher.create({ key, ...size, runtimeDirectory: run, socketMode: 0o666 });
    const [one, all] = await Promise.all([asNobody(["inspect", key], env), asNobody(["inspect"], env)]);
    expect(one).toMatchObject({ code: 0 });
    expect(all).toMatchObject({ code: 1, stderr: expect.stringMatching(`may not list ${run}: owner root`) });
  });
});

describe("what a dead publisher has left", () => {
  async function leave(): Promise<string> {
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    publisher.kill("SIGINT");
    await publisher.exited;
    return stage().directory;
  }

  test("is removed by inspect, which says so, and is not in the way of the next one", async () => {
    const directory = await leave();
    expect(readdirSync(directory).sort()).toEqual([`${key}.lock`, `${key}.sock`]);
    const env = { CUFRAMES_RUNTIME_DIR: directory, NO_COLOR: "1" };
    const first = await cuframes(["inspect"], { env });
    expect(text(first.stdout)).toMatch(/cam: stale: .*cam\.sock was left behind, and is removed/);
    expect(readdirSync(directory)).toEqual([]);
    await leave();
    expect(await cuframes(["inspect", key], { env })).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/was left behind, and is removed[^]*nobody publishes as cam/),
    });
    expect(readdirSync(directory)).toEqual([]);
  });

  test("stays where it may be somebody's: a living publisher that is stopped, a listener of others, a file", async () => {
    const { directory } = stage();
    const env = { CUFRAMES_RUNTIME_DIR: directory };
    const publisher = stage().start("publisher", { key, ...size });
    await publisher.event("ready");
    await publisher.stop();
    const server = createServer().listen(join(directory, "other.sock"));
    writeFileSync(join(directory, "file.sock"), "mine");
    await eventually("it listens", () => existsSync(join(directory, "other.sock")));
    const before = readdirSync(directory).sort();
    expect((await cuframes(["inspect"], { env })).code).toBe(0);
    expect(readdirSync(directory).sort()).toEqual(before);
    server.close();
  });
});

test("top redraws in time beside a publisher that is stopped, and shows it again when it goes on", async () => {
  const stopped = stage().start("publisher", { key: "stopped", ...size });
  const living = stage().start("publisher", { key: "living", ...size });
  for (const publisher of [stopped, living]) await publisher.event("ready");
  await stopped.stop();
  const env = { CUFRAMES_RUNTIME_DIR: stage().directory };
  const top = startCuframes(["top", "--interval", "500ms", "--json"], { env });
  const looks = () =>
    top.text.split("\n").slice(0, -1).map((line) =>
      JSON.parse(line) as { at: string; publishers: { key: string }[]; silent: { key: string }[] }
    );
  await eventually("there are ten looks", () => looks().length >= 10);
  const times = looks().map(({ at }) => Date.parse(at));
  // One in 2.5 s would take 22.5.
  expect(times[9]! - times[0]!).toBeLessThan(9000);
  for (const { publishers, silent } of looks().slice(1)) {
    expect(publishers.map(({ key }) => key)).toEqual(["living"]);
    expect(silent).toMatchObject([{ key: "stopped", state: "unreachable" }]);
  }
  stopped.kill("SIGCONT");
  await eventually("it is there again", () => looks().at(-1)!.publishers.length === 2);
  top.kill("SIGINT");
  await top.ended;
});
