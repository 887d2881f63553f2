// `npm run soak [-- --minutes 10]`: a camera that dies every 20 s, with `cuframes source`, `record` and `pipe` on it. Ends with
// a table; exit code 0 only where memory and descriptors stayed flat, every death was survived and every recording plays.
// Needs Debian's gst-rtsp-server and ffmpeg (see .ci/run). Runs on Node, Deno and Bun.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "./build.ts";
import { root, tool } from "./toolchain.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    runtime: { type: "string", default: "bun" },
    input: { type: "string", default: join(root, "test/fixtures/clip.mp4") },
    /** Seconds that the camera lives. */
    life: { type: "string", default: "20" },
    json: { type: "boolean", default: false },
  },
});
const PORT_ANY = 0;
const SAMPLE_MS = 1000;
const DOWN_MS = 1000;
/** Caches and compiled code fill up first. */
const WARM_UP = 0.25;
/** Memory may differ by so much between two looks at a garbage-collected program that leaks nothing. */
const SLACK_BYTES = 24 * 2 ** 20;

const directory = mkdtempSync(join(tmpdir(), "cuframes-soak-"));
const sockets = join(directory, "sockets");
const recordings = join(directory, "recordings");
mkdirSync(sockets);
mkdirSync(recordings);

/** A subcommand of the program under test, its memory and its descriptors over time. */
class Subject {
  constructor(name, args) {
    this.name = name;
    this.samples = [];
    this.status = {};
    this.events = {};
    this.bytes = 0;
    const flags = values.runtime === "deno" ? ["run", "-A", "--no-check"] : [];
    const main = join(root, "src/cli/main.ts");
    this.child = spawn(tool(values.runtime), [...flags, main, name, ...args], {
      env: { ...process.env, CUFRAMES_RUNTIME_DIR: sockets, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.errors = "";
    this.child.stderr.on("data", (chunk) => this.errors = (this.errors + chunk).slice(-4000));
    this.ended = once(this.child, "exit").then(([code, signal]) => this.exit = signal ?? code);
  }

  /** Takes standard output as JSON lines; the latest of each event is kept. */
  listen() {
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      const event = JSON.parse(line);
      this.events[event.event] = (this.events[event.event] ?? 0) + 1;
      Object.assign(this.status, event);
    });
    return this;
  }

  /** Takes standard output as data. */
  drain() {
    this.child.stdout.on("data", (chunk) => this.bytes += chunk.length);
    return this;
  }

  sample() {
    if (this.exit !== undefined) return;
    const status = readFileSync(`/proc/${this.child.pid}/status`, "latin1");
    const memory = Number(/RssAnon:\s+(\d+)/.exec(status)[1]) * 1024;
    const threads = Number(/Threads:\s+(\d+)/.exec(status)[1]);
    this.samples.push({ memory, threads, descriptors: readdirSync(`/proc/${this.child.pid}/fd`).length });
  }

  async end() {
    this.child.kill("SIGTERM");
    await Promise.race([this.ended, sleep(15_000)]);
    if (this.exit === undefined) this.child.kill("SIGKILL");
    await this.ended;
  }

  /** What the samples show: medians of the first and the last quarter behind the warm-up. */
  row() {
    const steady = this.samples.slice(Math.floor(this.samples.length * WARM_UP));
    const quarter = Math.max(1, Math.floor(steady.length / 4));
    const [first, last] = [steady.slice(0, quarter), steady.slice(-quarter)];
    return {
      memory: [median(first, "memory"), median(last, "memory")],
      descriptors: [median(first, "descriptors"), median(last, "descriptors")],
      threads: [median(first, "threads"), median(last, "threads")],
    };
  }
}

function median(samples, name) {
  const sorted = samples.map((sample) => sample[name]).sort((one, other) => one - other);
  return sorted[sorted.length >> 1] ?? NaN;
}

/** The camera. @returns its process and port, once it listens */
async function startCamera(file, port) {
  const script = join(root, "test/peers/rtsp_server.py");
  const child = spawn("/usr/bin/python3", [script, String(port), file], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the RTSP server ended with ${code}`);
  });
  ended.catch(() => {});
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended]);
  return { child, port: JSON.parse(line).port };
}

async function main() {
  await build(["install"]);
  const seconds = Number(values.minutes) * 60;
  const life = Number(values.life);
  const looped = join(directory, "camera.mp4");
  // Longer than the camera lives.
  execFileSync("ffmpeg", [
    "-v",
    "error",
    "-stream_loop",
    "9",
    "-i",
    values.input,
    "-c",
    "copy",
    "-an",
    looped,
  ]);
  let camera = await startCamera(looped, PORT_ANY);
  const { port } = camera;
  const source = new Subject("source", [
    ...[`rtsp://127.0.0.1:${port}/stream`, "--key", "soak", "--json", "--interval", "1"],
    ...["--memory", "host", "--max-delay", "2s", "--timeout", "5s"],
  ]).listen();
  const record = new Subject("record", [
    ...["soak", "--output", join(recordings, "%H%M%S.mp4"), "--segment", "30s", "--wait", "30s", "--json"],
  ]).listen();
  const pipe = new Subject("pipe", ["soak", "--format", "yuv4mpeg", "--wait", "30s"]).drain();
  const subjects = [source, record, pipe];
  const problems = [];
  let deaths = 0;
  const end = performance.now() + seconds * 1000;
  let diesAt = performance.now() + life * 1000;
  try {
    while (performance.now() < end) {
      await sleep(SAMPLE_MS);
      for (const subject of subjects) subject.sample();
      const dead = subjects.find(({ exit }) => exit !== undefined);
      if (dead) throw new Error(`${dead.name} ended with ${dead.exit}\n${dead.errors}`);
      if (performance.now() < diesAt) continue;
      const before = source.status.packets ?? 0;
      if (deaths > 0 && before <= source.packetsAtDeath) {
        problems.push(`no packet between deaths ${deaths} and ${deaths + 1}`);
      }
      source.packetsAtDeath = before;
      camera.child.kill("SIGKILL");
      deaths++;
      await sleep(DOWN_MS);
      camera = await startCamera(looped, port);
      diesAt = performance.now() + life * 1000;
      if (process.stderr.isTTY) {
        process.stderr.write(`\r${deaths} deaths, ${source.status.frames} frames \x1b[K`);
      }
    }
  } finally {
    for (const subject of [pipe, record, source]) await subject.end();
    camera.child.kill("SIGKILL");
  }

  const rows = subjects.map((subject) => ({ command: subject.name, ...subject.row() }));
  for (const { command, memory, descriptors, threads } of rows) {
    if (!(memory[1] <= memory[0] + SLACK_BYTES)) problems.push(`${command}: memory grew`);
    if (!(descriptors[1] <= descriptors[0])) problems.push(`${command}: descriptors grew`);
    if (!(threads[1] <= threads[0] + 1)) problems.push(`${command}: threads grew`);
  }
  for (const { name, exit } of subjects) {
    if (exit !== 143) problems.push(`${name} ended with ${exit}, not with 143`);
  }
  const { frames = 0, framesDropped = 0, packets = 0, packetsDropped = 0, reconnects = 0 } = source.status;
  // The last death may be too near to the end.
  if (reconnects < deaths - 1) problems.push(`${deaths} deaths, but only ${reconnects} reconnects`);
  if (pipe.bytes === 0) problems.push("pipe wrote nothing");
  const left = readdirSync(sockets);
  if (left.length > 0) problems.push(`left behind: ${left.join(", ")}`);
  const files = readdirSync(recordings).map((name) => recordingOf(join(recordings, name)));
  if (files.length === 0) problems.push("nothing was recorded");
  for (const { path, error } of files) if (error) problems.push(`${path} does not play: ${error}`);
  const recorded = files.reduce((sum, file) => sum + file.packets, 0);

  const result = {
    minutes: Number(values.minutes),
    runtime: values.runtime,
    deaths,
    reconnects,
    frames,
    framesDropped,
    packets,
    packetsDropped,
    recordings: files.length,
    recorded,
    piped: pipe.bytes,
    rows,
    problems,
  };
  if (values.json) console.log(JSON.stringify(result));
  else {
    const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    console.table(rows.map(({ command, memory, descriptors, threads }) => ({
      command,
      "memory at start": megabytes(memory[0]),
      "at end": megabytes(memory[1]),
      descriptors: descriptors.join(" → "),
      threads: threads.join(" → "),
    })));
    console.table([{
      minutes: result.minutes,
      deaths,
      reconnects,
      frames,
      "frames dropped": framesDropped,
      packets,
      "packets dropped": packetsDropped,
      recordings: files.length,
      "packets recorded": recorded,
      piped: megabytes(pipe.bytes),
    }]);
    for (const problem of problems) console.log(`not flat: ${problem}`);
  }
  process.exitCode = problems.length === 0 ? 0 : 1;
}

/** A recording's packets, counted by ffprobe, and what is wrong with it. */
function recordingOf(path) {
  try {
    const args = [
      "-v",
      "error",
      "-count_packets",
      "-show_entries",
      "stream=nb_read_packets",
      "-of",
      "csv=p=0",
    ];
    const output = execFileSync("ffprobe", [...args, path], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    const packets = Number(output.trim());
    return { path, packets, error: packets > 0 ? undefined : "no packets" };
  } catch (error) {
    return { path, packets: 0, error: String(error.stderr || error.message).trim() };
  }
}

try {
  await main();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
