import { judge } from "../scripts/measure/budget.ts";
import { countOf, type Kind, until } from "../scripts/measure/progress.ts";
import { type SteadyShare, steadyShare } from "../scripts/measure/steady.ts";
import { type Runtime, RUNTIMES, Subject } from "../scripts/measure/subject.ts";
import type { Row } from "./report.ts";

const key = "cpu-camera";
const silentKey = "cpu-silent";
const measuredMs = 10_000;
const budget = 1;

interface Consumer {
  what: string;
  script: string;
  args: readonly string[];
  /** Undefined where nothing comes. */
  reads?: Kind;
}

const script = "bench/workers/consumer.ts";
const consumers: Consumer[] = [
  {
    what: "for await (using frame of camera)",
    script: "scripts/soak/reader.ts",
    args: [key],
    reads: "frames",
  },
  { what: "nextSync() in a loop", script, args: ["nextSync", key], reads: "frames" },
  { what: "for await (const packet of packets)", script, args: ["packets", key], reads: "packets" },
  { what: "next(), no frame comes", script, args: ["pending", silentKey] },
  { what: "connect(), no publisher comes", script, args: ["connecting", "cpu-nobody"] },
];

/** CPU time of consumers that are paced as cameras are, in percent of a core, each in a process of its own. */
export async function measureCpuTime(directory: string): Promise<Row[]> {
  const begin = (name: string, runtime: Runtime, script: string, args: readonly string[]) =>
    new Subject({ name, runtime, script, args, sockets: directory }).drain();

  /** Of one consumer on one runtime. */
  async function measure({ what, script, args, reads }: Consumer, runtime: Runtime): Promise<SteadyShare> {
    await using subject = begin(what, runtime, script, args);
    const stream = reads && { key, sockets: directory, reads };
    return await steadyShare(subject, measuredMs, stream);
  }

  await using camera = begin("camera", "deno", "bench/workers/camera.ts", [key, silentKey]);
  await until(camera, "it has not published", async () => await countOf(camera, key, directory) > 0);
  const rows: Row[] = [];
  for (const consumer of consumers) {
    // One on each runtime at a time: even where one of them burns a core, there is another one left.
    const shares = await Promise.all(RUNTIMES.map((runtime) => measure(consumer, runtime)));
    rows.push(...shares.map((share, index): Row => ({
      section: "CPU time of a consumer, 25 frames of 1080p NV12 a second, in percent of a core",
      what: consumer.what,
      runtime: runtimeNames[RUNTIMES[index]!],
      unit: "%",
      p50: share.cpu,
      budget: budgetOf(share),
    })));
  }
  return rows;
}

function budgetOf(share: SteadyShare): NonNullable<Row["budget"]> {
  const verdict = judge(share, budget);
  const text = `≤ ${budget} %`;
  return {
    text: verdict === "met" || verdict === "missed" ? text : `${text}: ${verdict}`,
    met: verdict === "met",
  };
}

const runtimeNames: Record<Runtime, string> = { deno: "Deno", bun: "Bun", node: "Node" };
