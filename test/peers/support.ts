// The program `cuframes`, and a camera for it: gst-rtsp-server, where it is installed.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { outputOf, succeedsSync } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { Process, type Stage, thisRuntime } from "../support/processes.ts";

/** The project's own clip: 250 pictures of 320×240, 25 a second, H.264 with B-frames. */
export const CLIP: string = join(root, "test/fixtures/clip.mp4");

/** Footage of real cameras, where it is there. */
export const FOOTAGE: readonly string[] = ["car-detection.mp4", "bottle-detection.mp4"]
  .map((name) => join(root, "../shared/media", name))
  .filter(existsSync);

const PYTHON = "/usr/bin/python3";

/** Why there is no camera for the tests; undefined where there is one. */
export const noCamera: string | undefined = findMissing();

function findMissing(): string | undefined {
  const needed: [string, ...string[]][] = [
    [PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
    ...["qtdemux", "h264parse", "rtph264pay", "aacparse", "rtpmp4gpay"].map((
      element,
    ): [string, ...string[]] => ["gst-inspect-1.0", "--exists", element]),
    ["ffmpeg", "-version"],
  ];
  if (needed.every(([command, ...args]) => succeedsSync(command, args))) return undefined;
  return "no RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-tools " +
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad ffmpeg";
}
if (noCamera) console.warn(`tests with a camera are skipped: ${noCamera}`);

/** Starts the program on this test's runtime; its sockets are in the stage's directory. */
export function startCli(stage: Stage, args: readonly string[], env: Record<string, string> = {}): Process {
  const flags = thisRuntime === "deno" ? ["run", "-A", "--no-check", "--quiet"] : [];
  const main = join(root, "src/cli/main.ts");
  return stage.adopt(
    new Process(`cuframes ${args[0]}`, tool(thisRuntime), [...flags, main, ...args], {
      CUFRAMES_RUNTIME_DIR: stage.directory,
      NO_COLOR: "1",
      ...env,
    }),
  );
}

/** A running RTSP server. */
export interface Server extends AsyncDisposable {
  readonly port: number;
  readonly process: Process;
}

/** Serves files: `path=file`, or a file as `/stream`. @param port 0: any; else that of a server that died */
export async function serve(
  stage: Stage,
  files: readonly string[],
  { port = 0, user }: { port?: number; user?: string } = {},
): Promise<Server> {
  const script = join(root, "test/peers/rtsp_server.py");
  const credentials = user === undefined ? [] : ["--user", user];
  const server = stage.adopt(
    new Process("the RTSP server", PYTHON, [script, String(port), ...files, ...credentials]),
  );
  const ready = await server.event<{ port: number }>("ready");
  return {
    port: ready.port,
    process: server,
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.exited;
    },
  };
}

/** A test pattern: pixels, pictures a second, seconds, FFmpeg's encoder. */
interface PatternOptions {
  size?: string;
  rate?: number;
  seconds?: number;
  codec?: string;
}

/** A directory for a test file's own media. */
export class Media {
  readonly directory: string = mkdtempSync(join(tmpdir(), "cuframes-cli-"));

  constructor() {
    afterAll(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Runs ffmpeg, its output into the directory. @returns the path */
  async ffmpeg(name: string, ...args: string[]): Promise<string> {
    const path = this.path(name);
    await outputOf("ffmpeg", ["-v", "error", "-y", ...args, path]);
    return path;
  }

  /** A file that plays so many times, not encoded again. */
  repeated(file: string, times: number): Promise<string> {
    return this.ffmpeg(
      `${times}-${file.split("/").at(-1)}`,
      "-stream_loop",
      String(times - 1),
      "-i",
      file,
      "-c",
      "copy",
      "-an",
    );
  }

  /** A test pattern, encoded. */
  pattern(
    name: string,
    { size = "320x240", rate = 25, seconds = 20, codec = "libx264" }: PatternOptions = {},
  ): Promise<string> {
    return this.ffmpeg(
      name,
      "-f",
      "lavfi",
      "-i",
      `testsrc2=size=${size}:rate=${rate}`,
      "-t",
      String(seconds),
      "-c:v",
      codec,
      "-preset",
      "ultrafast",
      "-g",
      String(rate),
      "-pix_fmt",
      "yuv420p",
      "-bf",
      "0",
      ...(codec === "libx265" ? ["-tag:v", "hvc1", "-x265-params", "log-level=none"] : []),
    );
  }
}
