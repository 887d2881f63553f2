// Tests of CUDA frames. Each body runs in a process of its own, alone with its driver: by default the double of
// libcuda.so.1, with CUFRAMES_TEST_GPU=1 the machine's real one. Needs `zig build cuda_double`.

import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { test } from "vitest";
import {
  CuframesError,
  Publisher,
  type PublisherOptions,
  Subscriber,
  type SubscriberOptions,
} from "../../mod.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { Process, runFlags, Stage, thisRuntime } from "./processes.ts";

/** Whether these tests are to use the machine's own driver. */
export const onHardware: boolean = process.env.CUFRAMES_TEST_GPU === "1";

/** Of the double of libcuda.so.1; that of libEGL.so.1 is in `egl` below. */
export const doubleDirectory: string = join(root, "zig/zig-out/test");

/** The environment of a process that is to use CUDA. */
export function cudaEnvironment(): Record<string, string> {
  // A kernel's first launch must not wait for one that runs.
  if (onHardware) return { CUDA_MODULE_LOADING: "EAGER" };
  if (!existsSync(join(doubleDirectory, "libcuda.so.1"))) {
    throw new Error(
      `there is no double of libcuda.so.1 in ${doubleDirectory}: run \`zig build cuda_double\` in zig/`,
    );
  }
  return { LD_LIBRARY_PATH: `${doubleDirectory}:${doubleDirectory}/egl` };
}

export interface ClaimOptions {
  /** Of the process, besides: the double's settings, for instance. */
  environment?: Record<string, string>;
  /** It needs the double's controls. */
  needsDouble?: boolean;
  /** Milliseconds; default 60 000. */
  timeout?: number;
}

/** Facts that it returns are printed. */
type Facts = Record<string, unknown>;
type Body = () => Promise<Facts | void> | Facts | void;

const claims = new Map<string, Body>();
/** Set in the process that a body runs in. */
const asked = process.env.CUFRAMES_TEST_CLAIM;

/** A `test` whose body runs in a process of its own on this runtime. `file` is the test file's `import.meta.url`. */
export function claimsOf(file: string): (name: string, body: Body, options?: ClaimOptions) => void {
  return (name, body, { environment = {}, needsDouble = false, timeout = 60_000 } = {}) => {
    if (asked !== undefined) return void claims.set(name, body);
    const unavailable = needsDouble && onHardware;
    test.skipIf(unavailable)(unavailable ? `${name} (only on the double)` : name, { timeout }, async () => {
      const stage = new Stage();
      try {
        const child = stage.adopt(
          new Process(`the test's process on ${thisRuntime}`, tool(thisRuntime), [
            ...runFlags(thisRuntime),
            fileURLToPath(file),
          ], {
            ...cudaEnvironment(),
            ...environment,
            CUFRAMES_RUNTIME_DIR: stage.directory,
            CUFRAMES_TEST_CLAIM: name,
          }),
        );
        const { facts } = await child.event<{ facts?: Facts }>("done");
        if (facts !== undefined) console.log(name, facts);
      } finally {
        await stage.clear();
      }
    });
  };
}

/** To be awaited at the end of a test file: runs the body that this process is for. */
export async function runClaim(): Promise<void> {
  if (asked === undefined) return;
  const body = claims.get(asked);
  if (body === undefined) throw new Error(`no test is called ${JSON.stringify(asked)}`);
  const facts = await body();
  process.stdout.write(
    `${JSON.stringify({ event: "done", ...(facts === undefined ? {} : { facts }) })}\n`,
    () => process.exit(0),
  );
}

let keys = 0;

/** A publisher of small CUDA frames under a key of its own, unless the options say otherwise. */
export function createPublisher(options: Partial<PublisherOptions> = {}): Publisher {
  return Publisher.create({ key: `claim-${++keys}`, width: 32, height: 16, memory: "cuda", ...options });
}

export function subscribe(to: Publisher, options: SubscriberOptions = {}): Promise<Subscriber> {
  return Subscriber.connect(to.key, options);
}

/** The error that a call is refused with. */
export function refusalOf(attempt: () => unknown): CuframesError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof CuframesError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
