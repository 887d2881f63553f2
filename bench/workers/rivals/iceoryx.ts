import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Child } from "../../../scripts/lib/process.ts";
import { root } from "../../../scripts/toolchain.mjs";
import type { Programs } from "./programs.ts";
import type { Rival } from "./rival.ts";

const project = join(root, "bench/native/iceoryx");
const target = join(root, "dist/bench/iceoryx");
const daemon = "iox-roudi";
const readyLine = "RouDi is ready for clients";
/** Milliseconds until then. */
const START_LIMIT = 10_000;
/** Where iceoryx has its sockets and locks, whatever TMPDIR says. */
const temporary = "/tmp";
/** A socket or lock of bench/native/iceoryx. */
const programFile = /^cuframes-rival-\d+(\.lock)?$/;

/** iceoryx, with its daemon. */
export class Iceoryx implements Rival {
  readonly command: readonly string[] = [join(target, "cuframes-bench-iceoryx")];
  readonly #programs: Programs;
  #daemonFiles: string[] = [];
  #isOurs = false;

  constructor(programs: Programs) {
    this.#programs = programs;
  }

  async start(): Promise<string> {
    const version = (await this.#programs.outputOf(daemon, "--version")).match(/\d+\.\d+\.\d+/)?.[0];
    await this.#programs.outputOf("cmake", "-S", project, "-B", target);
    await this.#programs.outputOf("cmake", "--build", target);
    // A segment that its configuration names no users for is named after the group.
    const group = (await this.#programs.outputOf("id", "--group", "--name")).trim();
    const files = [
      "/dev/shm/iceoryx_mgmt",
      `/dev/shm/${group}`,
      "/tmp/roudi",
      "/tmp/roudi.lock",
      "/tmp/iox-unique-roudi.lock",
    ];
    // There is one daemon on a machine: ours ends at once where somebody else's runs, and these files are not ours.
    this.#daemonFiles = files.filter((path) => !existsSync(path));
    await this.#startDaemon();
    this.#daemonFiles = files;
    this.#isOurs = true;
    return `iceoryx ${version}`;
  }

  files(): string[] {
    // Whoever has the daemon has all of these.
    const ofPrograms = this.#isOurs ? readdirSync(temporary).filter((name) => programFile.test(name)) : [];
    const paths = [...this.#daemonFiles, ...ofPrograms.map((name) => join(temporary, name))];
    return paths.filter((path) => existsSync(path));
  }

  async #startDaemon(): Promise<void> {
    const { promise: ready, resolve } = Promise.withResolvers<boolean>();
    const config = ["--config-file", join(project, "roudi.toml"), "--log-level", "warning"];
    const child: Child = this.#programs.start([daemon, ...config], {
      onOutput: () => child.text.includes(readyLine) && resolve(true),
    });
    const ended = child.ended.then(() => false);
    if (await Promise.race([ready, ended, setTimeout(START_LIMIT, false, { ref: false })])) return;
    await child[Symbol.asyncDispose]();
    throw new Error(`${daemon} did not start\n${child.errors}${child.text}`);
  }
}
