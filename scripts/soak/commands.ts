// What is measured: how each command is started, and what it may take.

import { type AddressInfo, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import type { Kind } from "../measure/progress.ts";
import { type Runtime, Subject } from "../measure/subject.ts";

/** A command, or the plain reader. */
export interface Command {
  name: string;
  script: string;
  args: readonly string[];
  /** What it prints: events of its own, or data. */
  prints: "events" | "data";
  /** What it takes from its source: nothing for a source. */
  reads?: Kind;
  /** CPU time in percent of one core, at 25 frames a second. */
  budget?: number;
}

export const CLI: string = "src/cli/main.ts";
/** Nobody listens there, nor ever will. */
const NO_CAMERA = "rtsp://127.0.0.1:1/stream";

export function source(input: string, key: string, ...more: string[]): Command {
  const common = ["--key", key, "--json", "--interval", "1", "--memory", "host"];
  return { name: "source", script: CLI, args: ["source", input, ...common, ...more], prints: "events" };
}

/** Sources that wait: nobody is where the camera should be, and a camera that takes the connection and is silent. */
export function waitingSources(silent: SilentCamera, key: string): Command[] {
  const waiting = (name: string, input: string, suffix: string): Command => ({
    ...source(input, `${key}-${suffix}`),
    name,
    budget: 1,
  });
  return [
    waiting("source, no camera there", NO_CAMERA, "absent"),
    waiting("source, a silent camera", silent.url, "silent"),
  ];
}

/** Recordings of half a minute each, in a directory. */
export function record(key: string, directory: string): Command {
  const files = ["--output", join(directory, "%H%M%S.mp4"), "--segment", "30s"];
  return {
    name: "record",
    script: CLI,
    args: ["record", key, ...files, "--wait", "30s", "--json"],
    prints: "events",
    reads: "packets",
    budget: 4,
  };
}

export function pipe(key: string): Command {
  const args = ["pipe", key, "--format", "yuv4mpeg", "--wait", "30s"];
  return { name: "pipe", script: CLI, args, prints: "data", reads: "frames" };
}

export function pipePackets(key: string): Command {
  const args = ["pipe", key, "--packets", "--wait", "30s"];
  return { name: "pipe --packets", script: CLI, args, prints: "data", reads: "packets", budget: 4 };
}

export function top(): Command {
  return { name: "top", script: CLI, args: ["top", "--json"], prints: "data" };
}

/** The first example of README.md. */
export function reader(key: string): Command {
  return {
    name: "plain reader",
    script: "scripts/soak/reader.ts",
    args: [key],
    prints: "data",
    reads: "frames",
    budget: 1,
  };
}

export function start({ name, script, args, prints }: Command, runtime: Runtime, sockets: string): Subject {
  const subject = new Subject({ name, runtime, script, args, sockets });
  return prints === "events" ? subject.listen() : subject.drain();
}

/** Takes connections and never answers. */
export interface SilentCamera extends AsyncDisposable {
  readonly url: string;
}

export async function silentCamera(): Promise<SilentCamera> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket)).resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `rtsp://127.0.0.1:${(server.address() as AddressInfo).port}/stream`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
