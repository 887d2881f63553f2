import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "../../../scripts/toolchain.mjs";
import type { Programs } from "./programs.ts";
import type { Rival } from "./rival.ts";

const project = join(root, "bench/native/iceoryx2");
const target = join(root, "dist/bench/iceoryx2");
const sharedMemory = "/dev/shm";
/** Begins the name of each shared memory, before the process that has to remove it. */
const prefix = "cfrival-";

/** iceoryx2, which needs no daemon. Its other files are below `directory`. */
export class Iceoryx2 implements Rival {
  readonly command: readonly string[];
  readonly #programs: Programs;
  readonly #directory: string;

  constructor(programs: Programs, directory: string) {
    this.#programs = programs;
    this.#directory = join(directory, "iox2");
    const program = join(target, "release/cuframes-bench-iceoryx2");
    this.command = [program, `${prefix}${process.pid}-`, this.#directory];
  }

  async start(): Promise<string> {
    const paths = ["--manifest-path", join(project, "Cargo.toml"), "--target-dir", target];
    await this.#programs.outputOf("cargo", "build", "--release", "--quiet", ...paths);
    // Of a benchmark that was killed together with the process that would have removed it.
    for (const path of sharedMemories((pid) => !isAlive(pid))) rmSync(path, { force: true });
    const lock = readFileSync(join(project, "Cargo.lock"), "utf8");
    return `iceoryx2 ${lock.match(/^name = "iceoryx2"\nversion = "(.+)"$/m)?.[1]}`;
  }

  files(): string[] {
    const ours = sharedMemories((pid) => pid === process.pid);
    return existsSync(this.#directory) ? [...ours, this.#directory] : ours;
  }
}

/** Paths of the shared memories for which such a process is responsible. */
function sharedMemories(isWanted: (pid: number) => boolean): string[] {
  return readdirSync(sharedMemory)
    .filter((name) => name.startsWith(prefix) && isWanted(parseInt(name.slice(prefix.length))))
    .map((name) => join(sharedMemory, name));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
