// Messages with descriptors: arriving, waiting, ending.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { closeDescriptor, DescriptorSocket } from "../../mod.ts";
import { isCloseOnExec, Memfd, memfdDescriptors, openDescriptors } from "../support/memfd.ts";
import { eventually, outcomeOf } from "../support/processes.ts";
import { bytes, codeOf, connected } from "../support/sockets.ts";

let directory: string;
let address: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cuframes-test-"));
  address = join(directory, "socket");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("messages", () => {
  test.each(["path", "abstract"])("arrive whole with their descriptors, in order: %s", async (kind) => {
    const at = kind === "path" ? address : `@cuframes-test-${process.pid}-${Math.random()}`;
    using pair = await connected(at);
    using file = new Memfd(4096);
    file.bytes[100] = 77;
    await pair.client.send(bytes(1), [file.fd, file.fd]);
    await pair.client.send(bytes(2, 3));
    using first = await pair.server.receive();
    using second = await pair.server.receive();
    expect([...first.bytes]).toEqual([1]);
    expect([...second.bytes]).toEqual([2, 3]);
    expect(second.fds).toEqual([]);
    expect(first.fds).toHaveLength(2);
    expect(new Set([...first.fds, file.fd]).size).toBe(3);
    for (const fd of first.fds) expect(isCloseOnExec(fd)).toBe(true);
  });

  test("belong to their receiver: close() closes what was not taken, and nothing else", async () => {
    // Not by their numbers, which whoever opens a file next is given again.
    const open = () => memfdDescriptors().length;
    using pair = await connected(address);
    using file = new Memfd(4096);
    await pair.client.send(bytes(1), [file.fd]);
    await pair.client.send(bytes(1), [file.fd]);
    expect(open()).toBe(1);
    const kept = await pair.server.receive();
    const [fd] = kept.takeFds();
    expect(kept.fds).toEqual([]);
    kept.close();
    expect(open()).toBe(2);
    closeDescriptor(fd!);
    expect(open()).toBe(1);
    for (const none of [1 << 30, -1]) expect(codeOf(() => closeDescriptor(none))).toBe("INVALID_ARGUMENT");

    const dropped = await pair.server.receive();
    expect(open()).toBe(2);
    dropped.close();
    expect(open()).toBe(1);
    dropped.close();
    expect(open()).toBe(1);
  });

  test("of the largest size and with the most descriptors", async () => {
    using pair = await connected(address);
    using file = new Memfd(4096);
    const large = new Uint8Array(DescriptorSocket.maxMessageSize).map((_, index) => index);
    const many = new Array<number>(DescriptorSocket.maxDescriptors).fill(file.fd);
    await pair.client.send(large, many);
    using message = await pair.server.receive();
    expect(message.bytes).toEqual(large);
    expect(message.fds).toHaveLength(253);
  });

  test.each([
    ["no bytes", new Uint8Array(0), []],
    ["too many bytes", new Uint8Array(65_537), []],
    ["too many descriptors", bytes(1), new Array<number>(254).fill(0)],
    ["a number that is no descriptor", bytes(1), [-1]],
    ["a descriptor that is not open", bytes(1), [0, 1_000_000]],
    ["something else than bytes", "text" as unknown as Uint8Array, []],
  ])("with %s are refused, and nothing is sent", async (_, content, fds) => {
    using pair = await connected(address);
    const outcome = await outcomeOf(pair.client.send(content, fds));
    expect(outcome.code).toBe("INVALID_ARGUMENT");
    if (fds.length === 2) expect(outcome.message).toMatch(/fds\[1\] is 1000000/);
    expect((await outcomeOf(pair.server.receive({ timeout: 0 }))).code).toBe("WOULD_BLOCK");
  });

  test("wait for room, in the order of their calls", async () => {
    using pair = await connected(address);
    const count = 40;
    let sent = 0;
    const sends = Array.from({ length: count }, (_, index) => {
      return pair.client.send(new Uint8Array(60_000).fill(index)).then(() => sent++);
    });
    expect((await outcomeOf(pair.client.send(bytes(1), [], { timeout: 20 }))).code).toBe("TIMEOUT");
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(count);
    for (let index = 0; index < count; index++) {
      using message = await pair.server.receive();
      expect(message.bytes[0]).toBe(index);
    }
    await Promise.all(sends);
    expect((await outcomeOf(pair.server.receive({ timeout: 20 }))).code).toBe("TIMEOUT");
  });
});

describe("waiting", () => {
  test("ends with a time-out, a signal, or the socket", async () => {
    using pair = await connected(address);
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = pair.server.receive({ signal: controller.signal });
    const patient = pair.server.receive();
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await pair.client.send(bytes(5));
    expect((await patient).bytes[0]).toBe(5);
    expect((await outcomeOf(pair.server.receive({ timeout: 1 }))).code).toBe("TIMEOUT");

    const ended = [pair.server.receive(), pair.listener.accept()];
    pair.server.close();
    pair.listener.close();
    for (const each of ended) expect((await outcomeOf(each)).code).toBe("DISCONNECTED");
    expect((await outcomeOf(pair.server.send(bytes(1)))).code).toBe("DISCONNECTED");
    expect(codeOf(() => pair.server.peer)).toBe("DISCONNECTED");
  });

  test("a peer that closes is noticed, after what it had sent", async () => {
    using pair = await connected(address);
    const waiting = pair.server.receive();
    await pair.client.send(bytes(1));
    await waiting;
    await pair.client.send(bytes(2));
    pair.client.close();
    expect((await pair.server.receive()).bytes[0]).toBe(2);
    expect((await outcomeOf(pair.server.receive())).code).toBe("DISCONNECTED");
    expect((await outcomeOf(pair.server.send(bytes(1)))).code).toBe("DISCONNECTED");
  });

  test.each(["path", "abstract"])("for a listener that comes later: %s", async (kind) => {
    const at = kind === "path" ? address : `@cuframes-test-${process.pid}-${Math.random()}`;
    expect((await outcomeOf(DescriptorSocket.connect(at))).code).toBe("NOT_FOUND");
    expect((await outcomeOf(DescriptorSocket.connect(at, { timeout: 30 }))).code).toBe("TIMEOUT");
    const controller = new AbortController();
    const aborted = DescriptorSocket.connect(`${at}-never`, { timeout: Infinity, signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    const connecting = DescriptorSocket.connect(at, { timeout: 10_000 });
    using listener = DescriptorSocket.listen(at);
    using client = await connecting;
    using server = await listener.accept();
    await client.send(bytes(9));
    expect((await server.receive()).bytes[0]).toBe(9);
  });
});

test("the peer's credentials are the kernel's", async () => {
  using pair = await connected(address);
  const { pid } = process;
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  expect(pair.client.peer).toEqual({ pid, uid, gid });
  expect(pair.server.peer).toEqual({ pid, uid, gid });
});

test("nothing is left of any of it", async () => {
  {
    using warm = await connected(address);
    await warm.client.send(bytes(1));
    await warm.server.receive();
  }
  using file = new Memfd(4096);
  // Threads of the pairs so far may still hold theirs, and with Bun another file's tests have some; a leak is 20 and more.
  const before = openDescriptors().length;
  for (let round = 0; round < 20; round++) {
    using pair = await connected(address);
    const waiting = pair.server.receive();
    await pair.client.send(bytes(1), [file.fd]);
    (await waiting).close();
    const ended = outcomeOf(pair.client.receive());
    // Never received: the kernel drops it with the connection.
    await pair.client.send(bytes(1), [file.fd]);
    pair.server.close();
    await ended;
  }
  await eventually("the file's descriptors are closed", () => memfdDescriptors().length === 1);
  await eventually("all sockets are closed", () => openDescriptors().length < before + 20);
});
