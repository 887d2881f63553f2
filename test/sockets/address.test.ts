// Addresses of descriptor sockets: paths and abstract names.

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DescriptorSocket } from "../../mod.ts";
import { outcomeOf } from "../support/processes.ts";
import { bytes, codeOf, connected } from "../support/sockets.ts";

let directory: string;
let address: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cuframes-test-"));
  address = join(directory, "socket");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("addresses", () => {
  test("a path is there with its mode while somebody listens, and not afterwards", () => {
    const listener = DescriptorSocket.listen(address, { mode: 0o600 });
    expect(statSync(address).mode & 0o777).toBe(0o600);
    expect(codeOf(() => DescriptorSocket.listen(address))).toBe("ALREADY_EXISTS");
    expect(existsSync(address)).toBe(true);
    listener.close();
    listener.close();
    expect(existsSync(address) || existsSync(`${address}.lock`)).toBe(false);
    DescriptorSocket.listen(address).close();
  });

  test("what is not a socket is left alone", () => {
    writeFileSync(address, "precious");
    expect(codeOf(() => DescriptorSocket.listen(address))).toBe("ALREADY_EXISTS");
    expect(statSync(address).size).toBe(8);
    expect(existsSync(`${address}.lock`)).toBe(false);
  });

  test("an abstract address is taken once", () => {
    const at = `@cuframes-test-${process.pid}-${Math.random()}`;
    using _listener = DescriptorSocket.listen(at);
    expect(codeOf(() => DescriptorSocket.listen(at))).toBe("ALREADY_EXISTS");
  });

  test.each(["", "@", `@${"x".repeat(107)}`, `/tmp/${"x".repeat(103)}`, "a\0b"])(
    "%j is none",
    async (wrong) => {
      expect(codeOf(() => DescriptorSocket.listen(wrong))).toBe("INVALID_ARGUMENT");
      expect((await outcomeOf(DescriptorSocket.connect(wrong))).code).toBe("INVALID_ARGUMENT");
    },
  );

  test("of the largest size", async () => {
    const name = `@${process.pid}-`;
    using longest = await connected(name + "x".repeat(107 - name.length));
    await longest.client.send(bytes(1));
    const path = `${directory}/`;
    using _path = await connected(path + "x".repeat(102 - path.length));
    expect(codeOf(() => DescriptorSocket.listen(path + "x".repeat(103 - path.length)))).toBe(
      "INVALID_ARGUMENT",
    );
  });
});
