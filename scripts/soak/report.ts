// What the soak prints and writes.

import { readFileSync } from "node:fs";
import { cpus, machine, release } from "node:os";
import { join } from "node:path";
import { judge } from "../measure/budget.ts";
import { markdownTable } from "../measure/markdown.ts";
import type { CpuShare } from "../measure/process_usage.ts";
import { root } from "../toolchain.mjs";
import type { CpuRow, RunRow } from "./cpu.ts";
import type { EnduranceResult } from "./endurance.ts";

const percent = (value: number) => `${value.toFixed(1)} %`;
export const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const milliseconds = (value: number) => `${value.toFixed(1)} ms`;
const change = ([first, last]: readonly [number, number]) => `${first} → ${last}`;

function verdict(row: CpuShare & { budget: number | undefined }): string {
  return row.budget === undefined ? "" : `≤ ${row.budget} %: ${judge(row, row.budget)}`;
}

export function enduranceTables({ minutes, deaths, rows, sources }: EnduranceResult): string {
  const processes = markdownTable(
    ["command", "runtime", "CPU", "waited for one", "budget", "memory of its own", "descriptors", "threads"],
    rows.map((row) => [
      row.command,
      row.runtime,
      percent(row.cpu),
      percent(row.waited),
      verdict(row),
      `${megabytes(row.memory[0])} → ${megabytes(row.memory[1])}`,
      change(row.descriptors),
      change(row.threads),
    ]),
  );
  const streams = markdownTable(
    [
      ...[
        "source",
        "reconnects",
        "frames",
        "dropped",
        "packets",
        "too large",
        "recorded",
        "of sound",
        "lost",
      ],
      ...["in files", "flash to beep", "at worst", "piped"],
    ],
    sources.map((row) => [
      row.runtime,
      ...[
        row.reconnects,
        row.frames,
        row.framesDropped,
        row.packets,
        row.packetsDropped,
        row.recorded,
        row.recordedSound,
        row.lost,
        row.recordings,
      ]
        .map(String),
      row.sync ? `${milliseconds(row.sync.median)} of ${row.sync.distances.length}` : "",
      row.sync ? milliseconds(row.sync.worst) : "",
      megabytes(row.piped),
    ]),
  );
  return [processes, streams, `${minutes} minutes, ${deaths} deaths of the camera`].join("\n\n");
}

export function cpuTables({ rows, runs }: { rows: readonly CpuRow[]; runs: readonly RunRow[] }): string {
  const going = markdownTable(
    ["command", "runtime", "CPU", "waited for one", "a second", "budget"],
    rows.map((row) => [
      row.command,
      row.runtime,
      percent(row.cpu),
      percent(row.waited),
      row.rate?.toFixed(1) ?? "",
      verdict(row),
    ]),
  );
  const ending = markdownTable(
    ["command", "runtime", "CPU time of a run"],
    runs.map(({ command, runtime, cpuMs }) => [command, runtime, `${cpuMs.toFixed(0)} ms`]),
  );
  return [going, ending].join("\n\n");
}

/** The machine, in words that name no host. */
export function machineName(): string {
  return `${cpus().length}-core-${machine()}`;
}

/** The first sentence of a page of docs/results. @param load the load average at the beginning */
export function whenAndWhere(load: number): string {
  const { model } = cpus()[0]!;
  const installed = (name: string) =>
    JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version;
  const node = `node-linux-${machine() === "aarch64" ? "arm64" : "x64"}`;
  return `${
    new Date().toISOString().slice(0, 10)
  }, ${cpus().length} cores (${model}), Linux ${release()}, Deno ${installed("deno")}, Bun ${
    installed("bun")
  }, Node ${installed(node)}; the load average was ${load.toFixed(1)} at the beginning.`;
}

/** A page of docs/results. */
export function cpuPage(tables: string, { seconds, load }: { seconds: number; load: number }): string {
  return `# CPU time of every command and of a plain reader

${whenAndWhere(load)}

\`npm run soak -- --cpu\`: a clip of 320×240 at 25 frames a second, published by \`cuframes source\`, and one process after
another on it, each on the runtime of its source. CPU time is user and system time of all threads in ${seconds} s, behind a
warm-up, in percent of one core. "waited for one" is the time that threads were able to run and had no CPU: where that is
large the machine was busy, and the figure before it is what was left to the process, not what it takes. "a second" is
what the process published or read. The plain reader is the first example of the README.

${tables}
`;
}
