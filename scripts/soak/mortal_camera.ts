// A camera that can be killed: gst-rtsp-server (test/peers/rtsp_server.py).

import { join } from "node:path";
import { jsonLines } from "../lib/json_lines.ts";
import { Child } from "../lib/process.ts";
import { root } from "../toolchain.mjs";

export class MortalCamera implements Disposable {
  readonly #file: string;
  #port = 0;
  #child: Child | undefined;

  /** @param file what it shows, to each client from its beginning */
  constructor(file: string) {
    this.#file = file;
  }

  get url(): string {
    return `rtsp://127.0.0.1:${this.#port}/stream`;
  }

  /** Lives (again), where it lived before. Resolves once it listens. */
  async start(): Promise<void> {
    const script = join(root, "test/peers/rtsp_server.py");
    const child = this.#child = new Child(["/usr/bin/python3", script, String(this.#port), this.#file], {
      name: "the RTSP server",
      stdin: "pipe",
      stdout: "read",
      stderr: "inherit",
    });
    const { value } = await jsonLines<{ port: number }>(child.stdout).next();
    if (!value) throw new Error(`the RTSP server ${await child.failure()}`);
    this.#port = value.port;
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  [Symbol.dispose](): void {
    this.kill();
  }
}
