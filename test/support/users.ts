// Processes of other users, and with directories of their own: for tests that run as root.

import { chmodSync, mkdirSync } from "node:fs";
import process from "node:process";
import { succeedsSync } from "../../scripts/lib/process.ts";
import type { Stage, StartOptions } from "./processes.ts";

/** No user of this machine has it. */
export interface User {
  uid: number;
  gid: number;
}

/** A command that runs the command behind it as that user, who has no other group. */
function becoming({ uid, gid }: User): string[] {
  return ["setpriv", "--reuid", `${uid}`, "--regid", `${gid}`, "--clear-groups"];
}

/** A command that runs the command behind it with a /run of its own, empty but for root's cuframes if so wanted. */
function withEmptyRun(mode?: string): string[] {
  const make = mode === undefined ? "" : ` && mkdir -m ${mode} /run/cuframes`;
  return ["unshare", "--mount", "sh", "-c", `mount -t tmpfs -o mode=755 none /run${make} && exec "$@"`, "sh"];
}

function canRun(prefix: readonly string[]): boolean {
  const [command = "", ...args] = prefix;
  const readable = ["test", "-r", new URL(import.meta.url).pathname, "-a", "-x", process.execPath];
  return process.getuid?.() === 0 && succeedsSync(command, [...args, ...readable]);
}

/** For `skipIf` and a test's name: this needs root, and files that others can read. */
export const cannotBecomeOthers: boolean = !canRun(becoming({ uid: 65534, gid: 65534 }));
export const withoutOthers = "skipped where this process cannot become another user";
/** For `skipIf` and a test's name: this needs CAP_SYS_ADMIN. */
export const cannotMount: boolean = cannotBecomeOthers || !canRun(withEmptyRun());
export const withoutMounts = "skipped where this process cannot mount";

/** How a program is started as another user. `run`: with a /run of its own, and the mode of root's /run/cuframes in it. */
export function asUser(stage: Stage, user: User, run?: { cuframes?: string }): StartOptions {
  const home = `${stage.directory}/home-${user.uid}`;
  mkdirSync(home, { recursive: true });
  chmodSync(stage.directory, 0o755);
  chmodSync(home, 0o777);
  return {
    prefix: [...(run === undefined ? [] : withEmptyRun(run.cuframes)), ...becoming(user)],
    env: { HOME: home, DENO_DIR: home, CUFRAMES_RUNTIME_DIR: "", XDG_RUNTIME_DIR: "" },
  };
}
