/**
 * This file runs many sources, each in a process of its own, so that a crash, a hang or a slow decoder of one costs the
 * others nothing. Settings travel in the environment, where nobody but the user can read them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Backoff, CuframesError, isForbidden } from "../core/mod.ts";
import type { CameraEntry } from "./cameras_config.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { thisProgram } from "./self.ts";

/** Set for a source that is one of many: its key and input are in the environment, and it ends with its standard input. */
export const SUPERVISED = "CUFRAMES_SUPERVISED";

/** How long sources may take to close before they are killed. */
const CLOSING_MS = 8000;
const LONGEST_DELAY_MS = 30_000;
/** A process that lived as long was a good one. */
const GOOD_MS = 10_000;

/** Runs a source process for each camera, and starts again what dies. */
export class Supervisor {
  readonly #context: Context;
  readonly #cameras: readonly CameraEntry[];
  constructor(context: Context, cameras: readonly CameraEntry[]) {
    this.#context = context;
    this.#cameras = cameras;
  }

  /**
   * Runs until every source has ended by itself.
   *
   * @throws an error where one ended for good that should not have; the signal's reason where it was aborted
   */
  async run(): Promise<void> {
    const codes = await Promise.all(this.#cameras.map((camera) => this.#keepRunning(camera)));
    this.#context.signal.throwIfAborted();
    const failed = this.#cameras.filter((_, index) => codes[index] !== EXIT.OK).map(({ key }) => key);
    if (failed.length > 0) throw new Error(`not published: ${failed.join(", ")}`);
  }

  /** @returns the exit code that the source ended with for good */
  async #keepRunning(camera: CameraEntry): Promise<number> {
    const { signal, log } = this.#context;
    const backoff = new Backoff(LONGEST_DELAY_MS);
    for (;;) {
      const beganAt = performance.now();
      const { code, ending } = await this.#start(camera);
      if (signal.aborted || code === EXIT.OK || code === EXIT.USAGE) return code ?? EXIT.FAILURE;
      if (performance.now() - beganAt >= GOOD_MS) backoff.reset();
      const delay = backoff.next();
      log.warn(
        `${camera.key}: its process ended with ${ending}; starting it again in ${
          (delay / 1000).toFixed(1)
        } s`,
      );
      await sleep(delay, undefined, { signal }).catch(() => {});
      if (signal.aborted) return EXIT.FAILURE;
    }
  }

  #start({ key, variables }: CameraEntry): Promise<{ code: number | null; ending: string }> {
    const [command, ...args] = thisProgram();
    // The command line is this one's, so that its options hold for all and come before what the file says.
    const child = spawn(command!, [...args, ...process.argv.slice(2)], {
      env: { ...process.env, ...variables, [SUPERVISED]: "1" },
      stdio: ["pipe", "inherit", "inherit"],
    });
    const { signal } = this.#context;
    const close = () => end(child);
    signal.addEventListener("abort", close);
    return new Promise((resolve, reject) => {
      const ended = (code: number | null, ending: string) => {
        signal.removeEventListener("abort", close);
        resolve({ code, ending });
      };
      child.once("error", (error) => {
        // It will not be allowed later either.
        if (isForbidden(error)) {
          reject(new CuframesError("PERMISSION", `starting the process of ${key}: ${error.message}`));
        }
        ended(EXIT.FAILURE, error.message);
      });
      child.once("exit", (code, name) => ended(code, String(name ?? code)));
    });
  }
}

/** Lets a source close; a terminal's Ctrl-C has reached it already, and a second signal would cut it short. */
function end(child: ChildProcess): void {
  child.stdin!.on("error", () => {}).end();
  const timer = setTimeout(() => child.kill("SIGKILL"), CLOSING_MS);
  child.once("exit", () => clearTimeout(timer));
}
