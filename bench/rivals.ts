import type { Row } from "./report.ts";
import { floor, type Kind, ours, rival, type Side } from "./rival_sides.ts";
import { median, Samples, summarize } from "./statistics.ts";
import { type RuntimeName, Workers } from "./worker.ts";
import type { RivalName, RivalStarted } from "./worker_protocol.ts";

const runtimes: RuntimeName[] = ["Deno", "Bun", "Node"];
const rivalNames: RivalName[] = ["iceoryx2", "iceoryx"];
const kinds: Kind[] = ["blocking", "spinning"];
const rounds = 10;
/** Milliseconds between frames, as in bench/wake.ts. */
const paces = [2, 0.3];

/** A row of the table, as it is measured. */
interface Line {
  section: string;
  side: Side;
  what: string;
  unit: "µs" | "ns";
}

/** What gives a few rows their values. */
interface Step {
  side: Side;
  run(): Promise<[Line, readonly number[]][]>;
}

/** Times the better rival's p50 that ours may take. */
const budgets = { "µs": 1, "ns": 0.2 } as const;

/** Beside iceoryx2 and iceoryx, where they can be had: from publish to the reader's return, and acquire + publish. */
export async function measureRivals(directory: string, note: (text: string) => void): Promise<Row[]> {
  await using workers = new Workers();
  const attempt = async <T>(what: string, action: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await action();
    } catch (error) {
      // A worker tells where in its code it was.
      note(`${what}: ${(error as Error).message.replaceAll(/^\s+at .*\n?/gm, "").trim()}`);
      return undefined;
    }
  };
  const sides = [floor];
  for (const runtime of runtimes) sides.push(await ours(workers, runtime, directory));
  const keepers = rivalNames.map((name) => ({
    name,
    worker: workers.start("Deno", "rival.ts", directory, { cleansUp: true }),
  }));
  for (const { name, worker } of keepers) {
    const start = () => worker.call<RivalStarted>("start", { name, directory });
    const started = await attempt(`skipped: ${name}`, start);
    if (started !== undefined && "name" in started) sides.push(rival(worker, name, started.name));
    else if (started !== undefined) note(`skipped: ${name}: ${started.skipped.trim()}`);
  }

  const samples = new Samples();
  const lines = new Map<string, Line>();
  const failed = new Set<Side>();
  for (let round = 0; round < rounds; round++) {
    // Every second round goes backwards, so that nobody always comes after the same one.
    for (const group of stepsOf(sides)) {
      for (const { side, run } of round % 2 === 0 ? group : group.toReversed()) {
        if (failed.has(side)) continue;
        const measured = side.role === "rival" ? await attempt(`skipped: ${side.what}`, run) : await run();
        if (measured === undefined) failed.add(side);
        for (const [line, values] of measured ?? []) {
          lines.set(nameOf(line), line);
          samples.add(nameOf(line), values);
          samples.add(roundsOf(line), [median(values)]);
        }
      }
    }
  }
  for (const { name, worker } of keepers) await attempt(name, () => worker.call("stop"));
  return rowsOf([...lines.values()].filter(({ side }) => !failed.has(side)), samples);
}

const nameOf = ({ section, side, what }: Line) => `${section} ${side.runtime} ${what}`;

/** The medians of its rounds. */
const roundsOf = (line: Line) => `${nameOf(line)}, rounds`;

/** A round; each group is compared. */
function stepsOf(sides: readonly Side[]): Step[][] {
  const cost = (side: Side, what: string, when: string): Line => ({
    section: `Beside iceoryx, 1080p NV12: acquire or loan, with publish, ${when}`,
    side,
    what,
    unit: "ns",
  });
  const alone = sides.flatMap((side): Step[] => {
    const { publishAlone, what } = side;
    if (publishAlone === undefined) return [];
    return [{ side, run: async () => [[cost(side, what, "nobody connected"), await publishAlone()]] }];
  });
  const byKind = kinds.flatMap((kind) => {
    const ways = sides.flatMap((side) =>
      side.ways.filter((way) => way.kind === kind).map((way) => ({ side, ...way }))
    );
    const past = ways.flatMap(({ side, what, publishPastReader }): Step[] => {
      if (publishPastReader === undefined) return [];
      const line = cost(side, what, `a ${kind} reader connected and elsewhere`);
      return [{ side, run: async () => [[line, await publishPastReader()]] }];
    });
    const paced = paces.map((pace) =>
      ways.map(({ side, what, exchange }): Step => ({
        side,
        run: async () => {
          const { latencyNs, callNs } = await exchange(pace);
          const section =
            `Beside iceoryx, 1080p NV12: publish to the return of a ${kind} reader, every ${pace} ms`;
          return [
            [{ section, side, what, unit: "µs" }, latencyNs],
            [cost(side, what, `a ${kind} reader waiting, every ${pace} ms`), callNs],
          ];
        },
      }))
    );
    return [past, ...paced];
  });
  return [alone, ...byKind];
}

/** The latencies come before the costs. */
function rowsOf(lines: readonly Line[], samples: Samples): Row[] {
  const p50 = (line: Line) => median(samples.get(nameOf(line)));
  const row = (line: Line, best: Line | undefined): Row => {
    const { section, what, unit, side } = line;
    const scale = unit === "µs" ? 1e-3 : 1;
    const { p99 } = summarize(samples.get(nameOf(line)));
    const row: Row = { section, what, runtime: side.runtime, unit, p50: p50(line) * scale, p99: p99 * scale };
    if (side.role !== "ours" || best === undefined) return row;
    // Both were measured within seconds: whatever else the machine did in a round, it did to both.
    const others = samples.get(roundsOf(best));
    const ratio = median(samples.get(roundsOf(line)).map((value, round) => value / others[round]!));
    const text = `≤ ${budgets[unit].toFixed(1)}× the better rival, in the median round ${ratio.toFixed(2)}×`;
    return {
      ...row,
      against: { name: best.what, value: p50(best) * scale },
      budget: { text, met: ratio <= budgets[unit] },
    };
  };
  return (["µs", "ns"] as const).flatMap((unit) =>
    [...Map.groupBy(lines.filter((line) => line.unit === unit), ({ section }) => section).values()].flatMap(
      (compared) => {
        const rivals = compared.filter(({ side }) => side.role === "rival");
        const best = rivals.toSorted((a, b) => p50(a) - p50(b))[0];
        return compared.map((line) => row(line, best));
      },
    )
  );
}
