// The program as a process on the runtime of this run, and FFmpeg's own programs beside it.

import { join } from "node:path";
import { onTestFinished } from "vitest";
import {
  Child,
  type ChildOptions,
  type Ending,
  outputOfSync,
  succeedsSync,
} from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { runFlags, type RuntimeName, thisRuntime } from "./processes.ts";

/** How a program ended, with all that it wrote. */
export interface Outcome extends Ending {
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
  readonly ended: Promise<Outcome>;
  readonly #child: Child;

  constructor(command: readonly string[], { env = {}, stdout = "collect" }: ProgramOptions = {}) {
    const child = this.#child = new Child(command, { env, stdin: "pipe", stdout });
    onTestFinished(() => child.kill("SIGKILL"));
    this.ended = child.ended.then((ending) => ({ ...ending, stdout: child.bytes, stderr: child.errors }));
    this.ended.catch(() => {});
  }

  /** What it has written to stderr so far. */
  get stderr(): string {
    return this.#child.errors;
  }

  /** What it has written to stdout so far, as text. */
  get text(): string {
    return this.#child.text;
  }

  get stdin(): Child["stdin"] {
    return this.#child.stdin;
  }

  get stdout(): Child["stdout"] {
    return this.#child.stdout;
  }

  get pid(): number {
    return this.#child.pid;
  }

  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(signal);
  }
}

/** Variables besides this process's, and where its output goes. */
export type ProgramOptions = Pick<ChildOptions, "env" | "stdout">;

/** Starts the program. */
export function startCuframes(
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  return new Program(cuframesCommand(args), options);
}

/** Runs the program to its end. */
export async function cuframes(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Outcome> {
  const program = startCuframes(args, options);
  program.stdin.end();
  return await program.ended;
}

/** Whether Debian's ffmpeg and ffprobe are there. */
export const hasFfmpeg: boolean = ["ffmpeg", "ffprobe"].every((name) => succeedsSync(name, ["-version"]));
/** For `skipIf` and a test's name. */
export const withoutFfmpeg = "skipped without ffmpeg";

/** Runs FFmpeg's own program; returns its output. Fails where it complains. */
export function ffmpeg(args: readonly string[], input?: Uint8Array): Uint8Array {
  return outputOfSync("ffmpeg", ["-v", "error", "-nostdin", ...args], { input });
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
  const text = outputOfSync("ffprobe", [
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
  ], typeof input === "string" ? {} : { input });
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
