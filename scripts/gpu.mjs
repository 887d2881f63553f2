// What scripts/test_gpu.mjs and scripts/bench_gpu.mjs share: the GPU that is there, parts with a time limit, and where
// their output goes. Runs on Node, Deno and Bun.

import { spawn } from "node:child_process";
import { createWriteStream, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root, tool } from "./toolchain.mjs";

/** @param {string} name */
function logPath(name) {
  const out = process.env.OUT;
  if (!out) return undefined;
  const isDirectory = statSync(out, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isDirectory ? join(out, name) : out;
}

/**
 * Everything but the summary: into the file that $OUT names, or the file `name` in it where it is a directory; else to
 * standard output.
 *
 * @param {string} name
 */
export function openLog(name) {
  const path = logPath(name);
  const stream = path === undefined ? process.stdout : createWriteStream(path);
  return {
    path,
    /** @param {string | Uint8Array} text */
    write: (text) => void stream.write(text),
    close: () => path === undefined ? Promise.resolve() : new Promise((resolve) => stream.end(resolve)),
  };
}

/**
 * Runs a command to its end or its time limit, with all that it started.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string>; seconds: number; log: { write: (text: Uint8Array) => void } }} options
 * @returns {Promise<{ ended: string; output: string; seconds: number }>} `ended` is "" when all went well
 */
export function runPart(command, args, { env = {}, seconds, log }) {
  const start = performance.now();
  return new Promise((resolve) => {
    let output = "";
    let late = false;
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, so that what it started goes with it.
      detached: true,
    });
    const timer = setTimeout(() => {
      late = true;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        child.kill("SIGKILL");
      }
    }, seconds * 1000);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        log.write(chunk);
        output += chunk;
      });
    }
    const end = (ended) => {
      clearTimeout(timer);
      resolve({ ended, output, seconds: (performance.now() - start) / 1000 });
    };
    child.on("error", (error) => end(error.message));
    child.on("close", (code, signal) => {
      end(late ? `over its ${seconds} s` : code === 0 ? "" : `ended with ${signal ?? code}`);
    });
  });
}

/** What asks a runtime's own library for the devices. */
const probe = `import { devices, monotonicNow } from "${new URL("../mod.ts", import.meta.url).href}";
  monotonicNow(); // a library that cannot be loaded is a fault of another kind
  try {
    console.log("\\ndevices:" + JSON.stringify(devices()));
  } catch (error) {
    if (error.code !== "UNSUPPORTED") throw error;
    console.log("\\nunsupported:" + error.message);
  }`;

/**
 * The CUDA devices that this process sees; throws the library's own reason, `unsupported`, where there are none.
 *
 * @returns {Promise<{ name: string; uuid: string; driverVersion: string; totalMemory: number }[]>}
 */
export async function findDevices() {
  let output = "";
  const log = { write: () => {} };
  for (const [runtime, ...args] of [["deno", "eval", probe], ["bun", "-e", probe]]) {
    let command;
    try {
      command = tool(runtime);
    } catch (error) {
      output += `${error.message}\n`;
      continue;
    }
    const part = await runPart(command, args, { seconds: 60, log });
    const found = part.output.match(/^devices:(.*)$/m)?.[1];
    if (found !== undefined) return JSON.parse(found);
    output += part.output + part.ended;
  }
  const reason = output.match(/^unsupported:(.*)/m)?.[1];
  throw Object.assign(new Error(reason ?? output.trim()), { unsupported: reason !== undefined });
}

/** Whether the driver is the test double. */
export function isDouble(devices) {
  return devices.every(({ name }) => name.startsWith("Test Double"));
}

/** A line for each device. */
export function describeDevices(devices) {
  return devices.map(({ name, uuid, driverVersion, totalMemory }) => {
    return `${name}, ${uuid}, ${(totalMemory / 2 ** 30).toFixed(1)} GiB, driver for CUDA ${driverVersion}`;
  }).join("\n");
}
