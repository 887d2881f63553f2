// CPU time of every command and of a plain reader, on one runtime after another: each for some seconds, with nothing else
// of ours but its source running.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { outputOfSync } from "../lib/process.ts";
import { judge } from "../measure/budget.ts";
import { type SteadyShare, steadyShare } from "../measure/steady.ts";
import { commandLine, type Runtime } from "../measure/subject.ts";
import {
  CLI,
  type Command,
  pipe,
  pipePackets,
  reader,
  record,
  silentCamera,
  source,
  start,
  top,
  waitingSources,
} from "./commands.ts";

const RUNS = 5;

/** A command that goes on. */
export interface CpuRow extends SteadyShare {
  command: string;
  runtime: Runtime;
  budget: number | undefined;
}

export function isGood(row: CpuRow): boolean {
  return row.budget === undefined || judge(row, row.budget) === "met";
}

/** A command that ends by itself: milliseconds of CPU time for a run of it, the median of some. */
export interface RunRow {
  command: string;
  runtime: Runtime;
  cpuMs: number;
}

export interface CpuOptions {
  runtimes: readonly Runtime[];
  /** How long each is looked at. */
  seconds: number;
  /** A file or what else `cuframes source` takes, 25 frames a second. */
  input: string;
  /** For sockets and recordings. */
  directory: string;
  /** Told what is measured now. */
  progress: (what: string) => void;
}

export async function measureCpu(options: CpuOptions): Promise<{ rows: CpuRow[]; runs: RunRow[] }> {
  const rows: CpuRow[] = [];
  const runs: RunRow[] = [];
  await using silent = await silentCamera();
  for (const runtime of options.runtimes) {
    const measured = new OneRuntime(runtime, options);
    const key = `cpu-${runtime}`;
    for (const command of waitingSources(silent, key)) rows.push(await measured.alone(command));
    const camera = source(options.input, key, "--realtime", "--loop");
    await using publisher = start(camera, runtime, measured.sockets);
    rows.push(await measured.running(camera, publisher, key));
    const recordings = join(measured.sockets, "recordings");
    for (const command of [record(key, recordings), pipe(key), pipePackets(key), reader(key)]) {
      rows.push(await measured.alone(command, key));
    }
    rows.push(await measured.alone(top()));
    for (const args of [["snapshot", key, join(recordings, "now.jpg")], ["inspect"]]) {
      runs.push(measured.run(args));
    }
  }
  return { rows, runs };
}

class OneRuntime {
  readonly sockets: string;
  readonly #runtime: Runtime;
  readonly #milliseconds: number;
  readonly #progress: (what: string) => void;

  constructor(runtime: Runtime, { seconds, directory, progress }: CpuOptions) {
    this.#runtime = runtime;
    this.#milliseconds = seconds * 1000;
    this.#progress = progress;
    this.sockets = join(directory, runtime);
    mkdirSync(join(this.sockets, "recordings"), { recursive: true });
  }

  /** Of a command that is started for it. */
  async alone(command: Command, key?: string): Promise<CpuRow> {
    await using subject = start(command, this.#runtime, this.sockets);
    return await this.running(command, subject, key);
  }

  /** Of a command that runs. @param key whose frames or packets it publishes or reads, if any */
  async running(command: Command, subject: ReturnType<typeof start>, key?: string): Promise<CpuRow> {
    this.#progress(`${subject}`);
    const stream = key === undefined ? undefined : { key, sockets: this.sockets, reads: command.reads };
    const share = await steadyShare(subject, this.#milliseconds, stream);
    return { command: command.name, runtime: this.#runtime, ...share, budget: command.budget };
  }

  /** Of a command that ends by itself. */
  run(args: readonly string[]): RunRow {
    const command = args[0]!;
    this.#progress(`${command} on ${this.#runtime}`);
    const times = Array.from({ length: RUNS }, () => this.#runOnce(args)).sort((one, other) => one - other);
    return { command, runtime: this.#runtime, cpuMs: times[RUNS >> 1]! };
  }

  /** Milliseconds of CPU time, as the shell counts those of its children. */
  #runOnce(args: readonly string[]): number {
    const script = '"$@" > /dev/null || exit 1; times';
    const command = commandLine(this.#runtime, CLI, args);
    const env = { CUFRAMES_RUNTIME_DIR: this.sockets, LC_ALL: "C" };
    const output = outputOfSync("bash", ["-c", script, "bash", ...command], { env });
    const [, children = ""] = new TextDecoder().decode(output).split("\n");
    const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
      .map(([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds));
    return seconds.reduce((sum, value) => sum + value, 0) * 1000;
  }
}
