// The program as a process on the runtime of this run, and FFmpeg's own programs beside it.

import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { onTestFinished } from "vitest";
import { root, tool } from "../../scripts/toolchain.mjs";
import { runFlags, type RuntimeName, thisRuntime } from "./processes.ts";

/** How a program ended, with all that it wrote. */
export interface Outcome {
  code: number | null;
  signal: string | null;
  stdout: Uint8Array;
  stderr: string;
}

/** The words of a command line of the program. */
export function cuframesCommand(args: readonly string[], runtime: RuntimeName = thisRuntime): string[] {
  const flags = runFlags(runtime);
  return [tool(runtime), ...flags, join(root, "src/cli/main.ts"), ...args];
}

/** A program that a test starts and that ends with it; its output is collected unless somebody else reads it. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  #stdout: Uint8Array[] = [];
  #stderr = "";

  constructor(
    command: readonly string[],
    { env = {}, stdout = "collect" }: {
      env?: Record<string, string>;
      stdout?: "collect" | "leave" | number;
    } = {},
  ) {
    const [name = "", ...args] = command;
    this.child = spawn(name, args, {
      stdio: ["pipe", typeof stdout === "number" ? stdout : "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    if (stdout === "collect") this.child.stdout!.on("data", (chunk) => this.#stdout.push(chunk));
    this.child.stderr!.on("data", (chunk) => this.#stderr += chunk);
    this.child.stdin!.on("error", () => {});
    onTestFinished(() => void this.child.kill("SIGKILL"));
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      const end = stdout === "leave" ? "exit" : "close";
      this.child.on(end, (code, signal) => {
        resolve({ code, signal, stdout: concat(this.#stdout), stderr: this.#stderr });
      });
    });
  }

  /** What it has written to stderr so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** What it has written to stdout so far, as text. */
  get text(): string {
    return new TextDecoder().decode(concat(this.#stdout));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(this.pid, signal);
  }
}

/** Starts the program. */
export function startCuframes(
  args: readonly string[],
  options: ConstructorParameters<typeof Program>[1] = {},
): Program {
  return new Program(cuframesCommand(args), options);
}

/** Runs the program to its end. */
export async function cuframes(
  args: readonly string[],
  options: ConstructorParameters<typeof Program>[1] = {},
): Promise<Outcome> {
  const program = startCuframes(args, options);
  program.child.stdin!.end();
  return await program.ended;
}

/** Values of JSON lines; lines that are none are left out. */
export function jsonLines<T = Record<string, unknown>>(text: string | Uint8Array): T[] {
  const lines = (typeof text === "string" ? text : new TextDecoder().decode(text)).split("\n");
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

/** Whether Debian's ffmpeg and ffprobe are there. */
export const hasFfmpeg: boolean = ["ffmpeg", "ffprobe"].every((name) =>
  spawnSync(name, ["-version"]).status === 0
);
/** For `skipIf` and a test's name. */
export const withoutFfmpeg = "skipped without ffmpeg";

/** Runs FFmpeg's own program; returns its output. Fails where it complains. */
export function ffmpeg(args: readonly string[], input?: Uint8Array): Uint8Array {
  return execFileSync("ffmpeg", ["-v", "error", "-nostdin", ...args], {
    maxBuffer: 1 << 30,
    ...(input ? { input } : {}),
  });
}

/** A packet as ffprobe sees it. */
export interface ProbedPacket {
  pts_time?: string;
  dts_time?: string;
  size: string;
  flags: string;
  data_hash: string;
}

/** What ffprobe says of a file or of bytes. */
export interface Probed {
  streams: {
    codec_name: string;
    width: number;
    height: number;
    pix_fmt?: string;
    color_range?: string;
    avg_frame_rate: string;
  }[];
  packets: ProbedPacket[];
}

/** The video stream and its packets, by ffprobe. @param format FFmpeg's name of the demuxer */
export function ffprobe(input: string | Uint8Array, format?: string): Probed {
  const text = execFileSync("ffprobe", [
    "-v",
    "error",
    ...(format ? ["-f", format] : []),
    "-select_streams",
    "v",
    "-show_streams",
    "-show_packets",
    "-show_data_hash",
    "md5",
    "-of",
    "json",
    typeof input === "string" ? input : "-",
  ], { maxBuffer: 1 << 28, ...(typeof input === "string" ? {} : { input }) });
  return JSON.parse(new TextDecoder().decode(text));
}

/** MD5 of every decoded frame of a file, by ffmpeg. */
export function frameHashes(input: string | Uint8Array, pixelFormat: string, format?: string): string[] {
  const output = ffmpeg([
    ...(format ? ["-f", format] : []),
    "-i",
    typeof input === "string" ? input : "-",
    "-map",
    "0:v",
    "-fps_mode",
    "passthrough",
    "-pix_fmt",
    pixelFormat,
    "-f",
    "framemd5",
    "-",
  ], typeof input === "string" ? undefined : input);
  return new TextDecoder().decode(output).split("\n").filter((line) => /^\d/.test(line)).map((line) =>
    line.split(",").at(-1)!.trim()
  );
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}
