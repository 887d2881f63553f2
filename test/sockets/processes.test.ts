// Messages with descriptors between processes: this runtime and each other, a peer that dies, and one that lies.

import { existsSync, readdirSync } from "node:fs";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { Peer } from "../support/peer.ts";
import {
  eventually,
  type Process,
  type RuntimeName,
  runtimes,
  stages,
  thisRuntime,
} from "../support/processes.ts";
import type { Command } from "../support/programs/messenger.ts";

const stage = stages();

function start(address: string, runtime?: RuntimeName, prefix: string[] = []): Process {
  return stage().start("messenger", { address }, { prefix, ...(runtime === undefined ? {} : { runtime }) });
}

function ask<Details = Record<string, unknown>>(
  of: Process,
  command: Command,
  event: string,
): Promise<Details> {
  return of.ask<Details>(command, event);
}

describe.each(["path", "abstract"])("at a %s", (kind) => {
  // The suites on the other runtimes have the others.
  const pairings = runtimes.map((other) => [thisRuntime, other] as const);

  test.each(pairings)("%s listens, %s connects before it does", async (one, other) => {
    const address = kind === "path"
      ? `${stage().directory}/socket`
      : `@cuframes-test-${process.pid}-${Math.random()}`;
    const [listener, client] = [start(address, one), start(address, other)];
    client.send({ do: "connect" });
    await ask(listener, { do: "listen" }, "listening");
    const accepted = await ask(listener, { do: "accept" }, "connected");
    expect(accepted).toMatchObject({ pid: client.pid, uid: process.getuid!(), gid: process.getgid!() });
    expect(await client.event("connected")).toMatchObject({ pid: listener.pid });

    await ask(client, { do: "send", bytes: 65_536, fds: 3, value: 7 }, "sent");
    expect(await ask(listener, { do: "receive" }, "received")).toMatchObject({
      size: 65_536,
      whole: true,
      values: [7, 7, 7],
    });
    await ask(listener, { do: "send", bytes: 1, fds: 1, value: 9 }, "sent");
    expect(await ask(client, { do: "receive" }, "received")).toMatchObject({ size: 1, values: [9] });
    await ask(listener, { do: "close" }, "closed");
    expect(await ask(client, { do: "receive" }, "refused")).toMatchObject({ code: "DISCONNECTED" });
  });
});

test("a listener that was killed is replaced; one that lives is not", async () => {
  const address = `${stage().directory}/socket`;
  const [first, second, third] = [start(address), start(address), start(address)];
  await ask(first, { do: "listen" }, "listening");
  expect(await ask(second, { do: "listen" }, "refused")).toMatchObject({ code: "ALREADY_EXISTS" });
  first.kill();
  await first.exited;
  expect(existsSync(address)).toBe(true);
  expect(await ask(third, { do: "connect", timeout: 0 }, "refused")).toMatchObject({ code: "NOT_FOUND" });
  await ask(second, { do: "listen" }, "listening");
  await ask(third, { do: "connect" }, "connected");
  await ask(second, { do: "accept" }, "connected");
});

test("a relative path stays what it was when it was given, wherever the process goes", async () => {
  const { directory } = stage();
  const address = "app.sock";
  const [listener, client] = [start(address), start(address)];
  for (const one of [listener, client]) await ask(one, { do: "chdir", directory }, "moved");
  await ask(client, { do: "connectAndMove", directory: "/" }, "moved");
  await ask(listener, { do: "listen" }, "listening");
  await ask(listener, { do: "chdir", directory: "/" }, "moved");
  expect(readdirSync(directory).sort()).toEqual(["app.sock", "app.sock.lock"]);
  await client.event("connected");
  await ask(listener, { do: "close" }, "closed");
  expect(readdirSync(directory)).toEqual([]);
});

test("another program's socket is not taken away from it", async () => {
  const address = `${stage().directory}/socket`;
  const peer = await Peer.start(stage());
  await peer.listen(address);
  const late = start(address);
  expect(await ask(late, { do: "listen" }, "refused")).toMatchObject({ code: "ALREADY_EXISTS" });
  await ask(late, { do: "connect", timeout: 0 }, "connected");
});

test("a peer that is killed is noticed by who waits", async () => {
  const address = `${stage().directory}/socket`;
  const [listener, client] = [start(address), start(address)];
  client.send({ do: "connect" });
  await ask(listener, { do: "listen" }, "listening");
  await ask(listener, { do: "accept" }, "connected");
  await client.event("connected");
  listener.send({ do: "receive" });
  client.kill();
  expect(await listener.event("refused")).toMatchObject({ code: "DISCONNECTED" });
});

describe("a peer that lies", () => {
  async function liar(prefix: string[] = []) {
    const address = `${stage().directory}/socket`;
    const victim = start(address, thisRuntime, prefix);
    await ask(victim, { do: "listen" }, "listening");
    const peer = await Peer.start(stage());
    const fd = await peer.connect(address);
    await ask(victim, { do: "accept" }, "connected");
    const open = async () =>
      (await ask<{ open: string[] }>(victim, { do: "descriptors" }, "descriptors")).open;
    return { victim, peer, fd, open, file: await peer.memfd(4096, 0) };
  }

  /** What comes behind it is received as if nothing had been. */
  async function honest({ victim, peer, fd, file }: Awaited<ReturnType<typeof liar>>): Promise<void> {
    await peer.write(file, 0, Uint8Array.of(42));
    await peer.send(fd, Uint8Array.of(1, 1), [file]);
    expect(await ask(victim, { do: "receive" }, "received")).toMatchObject({ size: 2, values: [42] });
  }

  test("sends too much, with descriptors", async () => {
    const lie = await liar();
    const { victim, peer, fd, open, file } = lie;
    const before = await open();
    await peer.send(fd, new Uint8Array(65_537), new Array<number>(253).fill(file));
    expect(await ask(victim, { do: "receive" }, "refused")).toMatchObject({
      code: "PROTOCOL",
      message: expect.stringMatching(/more than 65536 bytes: it was dropped, its descriptors are closed/),
    });
    await eventually("they are closed", async () => (await open()).length === before.length);
    await honest(lie);
  });

  test("sends more descriptors than this process may have: they are received when it may", async () => {
    const lie = await liar(["sh", "-c", 'ulimit -n 300; exec "$@"', "sh"]);
    const { victim, peer, fd, open, file } = lie;
    const before = await open();
    await ask(victim, { do: "hog", spare: 20 }, "hogged");
    await peer.send(fd, Uint8Array.of(1), new Array<number>(253).fill(file));
    expect(await ask(victim, { do: "receive" }, "refused")).toMatchObject({
      code: "IO",
      message: expect.stringMatching(/ulimit -n/),
    });
    await ask(victim, { do: "unhog" }, "unhogged");
    await eventually("none is kept", async () => (await open()).length === before.length);
    const { values } = await ask<{ values: number[] }>(victim, { do: "receive" }, "received");
    expect(values).toHaveLength(253);
    await honest(lie);
  });

  test("sends more descriptors than its message speaks of: they go with the message", async () => {
    const lie = await liar();
    const { victim, peer, fd, open, file } = lie;
    const before = await open();
    await peer.write(file, 0, Uint8Array.of(9));
    await peer.send(fd, Uint8Array.of(1), new Array<number>(253).fill(file));
    const { values } = await ask<{ values: number[] }>(victim, { do: "receive" }, "received");
    expect(values).toEqual(new Array<number>(253).fill(9));
    expect(await open()).toEqual(before);
    await honest(lie);
  });

  test("sends a message of no bytes, with descriptors", async () => {
    const lie = await liar();
    const { victim, peer, fd, open, file } = lie;
    const before = await open();
    await peer.send(fd, new Uint8Array(0), [file, file]);
    // It cannot be told from the end.
    expect(await ask(victim, { do: "receive" }, "refused")).toMatchObject({ code: "DISCONNECTED" });
    await eventually("they are closed", async () => (await open()).length === before.length);
    await honest(lie);
  });

  test("sends other control data than descriptors", async () => {
    const lie = await liar();
    const { victim, peer, fd, open } = lie;
    const before = await open();
    await peer.sendCredentials(fd, Uint8Array.of(5));
    expect(await ask(victim, { do: "receive" }, "received")).toMatchObject({ size: 1, values: [] });
    expect(await open()).toEqual(before);
    await honest(lie);
  });

  test("announces more control data than it sends: the kernel refuses it", async () => {
    const lie = await liar();
    await expect(lie.peer.sendTruncated(lie.fd, Uint8Array.of(5), lie.file)).rejects.toThrow("INVAL");
    await honest(lie);
  });

  test("goes without a word, its message unread", async () => {
    const { victim, peer, fd, open, file } = await liar();
    const before = await open();
    await peer.send(fd, Uint8Array.of(3), [file]);
    await peer.close(fd);
    await ask(victim, { do: "receive" }, "received");
    expect(await ask(victim, { do: "receive" }, "refused")).toMatchObject({ code: "DISCONNECTED" });
    await ask(victim, { do: "close" }, "closed");
    await eventually("all is closed", async () => (await open()).length <= before.length - 2);
  });
});
