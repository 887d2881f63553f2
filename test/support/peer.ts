// The other end of a socket, at the level of bytes and descriptors: test/native/peer.zig, built when first needed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { outputOf } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { Process, type Stage } from "./processes.ts";

const source = join(root, "test/native/peer.zig");

/** Builds the tool unless that was done before; returns its path. */
export async function buildPeer(): Promise<string> {
  const folder = join(root, "node_modules/.cache/cuframes");
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const path = join(folder, `peer-${digest}`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  // Bun runs two test files in one process.
  const unfinished = `${path}.${crypto.randomUUID()}`;
  await outputOf(tool("zig"), ["build-exe", source, `-femit-bin=${unfinished}`], {
    cwd: join(root, "zig"),
  });
  renameSync(unfinished, path);
  return path;
}

/** A message that came over a socket; undefined bytes: the other side has closed it. */
export interface Received {
  bytes: Uint8Array | undefined;
  descriptors: number[];
}

/** Speaks to one tool process. Descriptors are numbers in it. */
export class Peer {
  readonly process: Process;
  /** Calls are answered in turn. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(process: Process) {
    this.process = process;
  }

  /** `prefix`: a command that runs the command behind it, as `["setpriv", "--reuid", "1"]`. */
  static async start(stage: Stage, prefix: readonly string[] = []): Promise<Peer> {
    const [command = "", ...args] = [...prefix, await buildPeer()];
    return new Peer(stage.adopt(new Process("peer", command, args)));
  }

  #call(...words: (string | number)[]): Promise<string> {
    const call = this.#last.then(async () => {
      this.process.write(words.join(" "));
      const { line } = await this.process.event<{ line: string }>("line");
      if (line.startsWith("error")) throw new Error(`${words.join(" ").slice(0, 200)}: ${line}`);
      return line;
    });
    this.#last = call.catch(() => {});
    return call;
  }

  async connect(path: string): Promise<number> {
    return Number(await this.#call("connect", path));
  }

  async connectMany(path: string, count: number): Promise<number> {
    return Number(await this.#call("connect-many", path, count));
  }

  /** Connects, says something and leaves, again and again; returns how often. */
  async connectFlood(path: string, bytes: Uint8Array, milliseconds: number): Promise<number> {
    return Number(await this.#call("connect-flood", path, hexOf(bytes), milliseconds));
  }

  /** A socket of another kind, whose last descriptor takes so many seconds to close. */
  async linger(seconds: number): Promise<number> {
    return Number(await this.#call("linger", seconds));
  }

  async listen(path: string, kind: "seqpacket" | "stream" = "seqpacket"): Promise<number> {
    return Number(await this.#call("listen", path, kind));
  }

  async accept(listener: number): Promise<number> {
    return Number(await this.#call("accept", listener));
  }

  async send(fd: number, bytes: Uint8Array, descriptors: readonly number[] = []): Promise<void> {
    await this.#call("send", fd, hexOf(bytes), ...descriptors);
  }

  /** Sends descriptors to whoever wants none. False: the kernel refuses that (Linux 6.16), nothing was sent. */
  async sendUnwanted(fd: number, bytes: Uint8Array, descriptors: readonly number[]): Promise<boolean> {
    try {
      await this.send(fd, bytes, descriptors);
      return true;
    } catch (error) {
      if (!(error instanceof Error && error.message.endsWith("error PERM"))) throw error;
      return false;
    }
  }

  /** Sends one file so many times and keeps none: whoever receives it has to close the last one. */
  async sendLast(fd: number, bytes: Uint8Array, descriptor: number, count: number): Promise<void> {
    await this.#call("send-last", fd, hexOf(bytes), descriptor, count);
  }

  /** Sends its credentials where descriptors could be. */
  async sendCredentials(fd: number, bytes: Uint8Array): Promise<void> {
    await this.#call("send-credentials", fd, hexOf(bytes));
  }

  /** Says that there is more control data than there is. */
  async sendTruncated(fd: number, bytes: Uint8Array, descriptor: number): Promise<void> {
    await this.#call("send-truncated", fd, hexOf(bytes), descriptor);
  }

  /** Sends as fast as the other side takes it; returns how often it did. */
  async sendMany(fd: number, bytes: Uint8Array, milliseconds: number): Promise<number> {
    return Number(await this.#call("send-many", fd, hexOf(bytes), milliseconds));
  }

  async receive(fd: number): Promise<Received> {
    const [first = "", ...rest] = (await this.#call("receive", fd)).split(" ");
    return { bytes: first === "closed" ? undefined : bytesOf(first), descriptors: rest.map(Number) };
  }

  /** Shared memory with its pages, or only with those in front of `hole`. This process can go on writing to it. */
  async memfd(size: number, seals: number, hole: number = size): Promise<number> {
    return Number(await this.#call("memfd", size, seals, hole));
  }

  /** Shared memory that has its pages behind its end, or that has only reserved them. */
  async hollowMemfd(size: number, seals: number, pages: "behind" | "reserved"): Promise<number> {
    return Number(await this.#call("memfd-hollow", size, seals, pages));
  }

  async write(fd: number, offset: number, bytes: Uint8Array): Promise<void> {
    await this.#call("write", fd, offset, hexOf(bytes));
  }

  async read(fd: number, offset: number, size: number): Promise<Uint8Array> {
    return bytesOf(await this.#call("read", fd, offset, size));
  }

  /** Fills a shared mapping again and again, with random bytes or with one; returns how often. */
  async scribble(fd: number, size: number, milliseconds: number, byte?: number): Promise<number> {
    return Number(
      await this.#call("scribble", fd, size, milliseconds, ...(byte === undefined ? [] : [byte])),
    );
  }

  /** Fills a shared mapping and takes its pages away, again and again; returns how often. */
  async punch(fd: number, size: number, milliseconds: number): Promise<number> {
    return Number(await this.#call("punch", fd, size, milliseconds));
  }

  /** Moves whoever sleeps on a futex to a word of its own, until it has moved somebody; returns how many. */
  async requeue(fd: number, offset: number, milliseconds: number): Promise<number> {
    return Number(await this.#call("requeue", fd, offset, milliseconds));
  }

  /** Changes a futex and wakes whoever sleeps on it, again and again; returns how often. */
  async stir(fd: number, offset: number, milliseconds: number): Promise<number> {
    return Number(await this.#call("stir", fd, offset, milliseconds));
  }

  /** The ways in which this process could change a file of shared memory. */
  async attack(fd: number): Promise<string[]> {
    return (await this.#call("attack", fd)).split(" ").slice(1);
  }

  /** Gives up being root for another user and one group. */
  async become(uid: number, gid: number): Promise<void> {
    await this.#call("become", uid, gid);
  }

  /** Opens a file to read. */
  async open(path: string): Promise<number> {
    return Number(await this.#call("open", path));
  }

  /** Locks a file as a publisher does, at once or not at all. */
  async flock(fd: number): Promise<void> {
    await this.#call("flock", fd);
  }

  /** Locks a file as every reader of it can. */
  async lockForReading(fd: number): Promise<void> {
    await this.#call("lock-for-reading", fd);
  }

  /** Makes a file that whoever opens it has to wait for. */
  async lease(path: string): Promise<number> {
    return Number(await this.#call("lease", path));
  }

  /** Puts a link to `target` in the place of whatever comes to have one of the names in a folder; returns how often. */
  async swap(folder: string, target: string, milliseconds: number, names: string[]): Promise<number> {
    return Number(await this.#call("swap", folder, target, milliseconds, ...names));
  }

  /** Opens a file of a file system that it mounts for itself, and that answers nothing from then on. */
  async serve(folder: string): Promise<number> {
    return Number(await this.#call("serve", folder));
  }

  /** What that file system was asked since: FUSE's operations. */
  async requests(): Promise<number[]> {
    return (await this.#call("requests")).split(" ").slice(1).map(Number);
  }

  /** Lets it answer again, and closes the file here: without that no process that has it could end. */
  async relent(): Promise<void> {
    await this.#call("relent");
  }

  async close(fd: number): Promise<void> {
    await this.#call("close", fd);
  }
}

function hexOf(bytes: Uint8Array): string {
  return bytes.length === 0 ? "-" : bytes.toHex();
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex);
}
