// A camera that can be killed: gst-rtsp-server (test/peers/rtsp_server.py).

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "../toolchain.mjs";

export class MortalCamera implements Disposable {
  readonly #file: string;
  #port = 0;
  #child: ChildProcess | undefined;

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
    this.#child = spawn("/usr/bin/python3", [script, String(this.#port), this.#file], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = once(this.#child, "exit").then(([code]) => {
      throw new Error(`the RTSP server ended with ${code}`);
    });
    ended.catch(() => {});
    const ready = once(createInterface({ input: this.#child.stdout! }), "line");
    const [line] = await Promise.race([ready, ended]);
    this.#port = JSON.parse(line).port;
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  [Symbol.dispose](): void {
    this.kill();
  }
}
