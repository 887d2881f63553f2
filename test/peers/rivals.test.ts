// What `npm run bench -- rivals` starts beside ours ends with it, however it ends, and leaves no file.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RivalName, RivalPacedRequest, RivalStarted } from "../../bench/worker_protocol.ts";
import { jsonLines } from "../../scripts/lib/json_lines.ts";
import { Child, outputOfSync, succeedsSync } from "../../scripts/lib/process.ts";
import { root, tool } from "../../scripts/toolchain.mjs";
import { eventually } from "../support/processes.ts";

const needed: Record<RivalName, string[]> = {
  iceoryx2: ["setpriv", "cargo"],
  iceoryx: ["setpriv", "cmake", "c++", "iox-roudi"],
};

const frame = { warmup: 10, intervalMs: 2, size: 1920 * 1080 * 3 / 2 };
/** It would take a minute. */
const endless: RivalPacedRequest = { how: "spin", count: 30_000, ...frame };

/** bench/workers/rival.ts, as the benchmark starts it. */
class Keeper implements AsyncDisposable {
  readonly child: Child;
  readonly #answers: AsyncIterator<object>;

  constructor() {
    const script = join(root, "bench/workers/rival.ts");
    const options = { group: true, stdin: "pipe", stdout: "read" } as const;
    this.child = new Child([tool("deno"), "run", "-A", script], options);
    this.#answers = jsonLines(this.child.stdout);
  }

  ask(method: string, parameters: object = {}): void {
    this.child.write(`${JSON.stringify({ method, parameters })}\n`);
  }

  async call<T>(method: string, parameters: object = {}): Promise<T> {
    this.ask(method, parameters);
    const { value } = await this.#answers.next();
    if (value === undefined || "error" in value) throw new Error(value?.error ?? this.child.errors);
    return value.result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.end();
  }
}

/** What a rival makes outside of its directory; iceoryx names a shared memory after the user's group. */
const group = new TextDecoder().decode(outputOfSync("id", ["--group", "--name"])).trim();
const ofRivals = new RegExp(`^(cfrival-.*|cuframes-rival-.*|iceoryx.*|iox.*|roudi.*|${group})$`);
const files = () =>
  ["/dev/shm", "/tmp"].flatMap((folder) =>
    readdirSync(folder).filter((name) => ofRivals.test(name)).map((name) => join(folder, name))
  );

/** The processes that a process has started and that run. */
function childrenOf(parent: number): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((pid) => stateOf(pid)?.parent === parent);
}

function stateOf(pid: number): { state: string; parent: number } | undefined {
  try {
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
    return { state: state!, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** Not a zombie either, whose parent may be slow to collect it. */
const runs = (pid: number) => !["Z", "X", undefined].includes(stateOf(pid)?.state);

describe.each(Object.keys(needed) as RivalName[])("%s", (name) => {
  const missing = needed[name].filter((program) => !succeedsSync(program, ["--version"]));
  const isThere = missing.length === 0;
  if (!isThere) console.warn(`tests with ${name} are skipped: not installed: ${missing.join(", ")}`);
  let directory: string;
  beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "cuframes-rivals-"))));
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** In the middle of a measurement. */
  async function measuring(keeper: Keeper): Promise<number[]> {
    const started = await keeper.call<RivalStarted>("start", { name, directory });
    expect(started).toEqual({ name: expect.stringMatching(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+$`)) });
    keeper.ask("exchange", endless);
    // Reader and publisher, and the daemon where there is one.
    const count = name === "iceoryx" ? 3 : 2;
    await eventually(`${count} programs run`, () => childrenOf(keeper.child.pid).length === count);
    return childrenOf(keeper.child.pid);
  }

  test.skipIf(!isThere)("measures, and is gone when it is stopped", { timeout: 900_000 }, async () => {
    const before = files();
    await using keeper = new Keeper();
    expect(await keeper.call<RivalStarted>("start", { name, directory })).toHaveProperty("name");
    for (const how of ["waitset", "spin"]) {
      const { latencyNs, callNs } = await keeper.call<Record<string, number[]>>("exchange", {
        how,
        count: 50,
        ...frame,
      });
      expect(callNs).toHaveLength(50);
      expect(latencyNs!.length).toBeGreaterThan(0);
      // The reader cannot return before the publisher has called, nor much later than it was woken.
      expect(Math.min(...latencyNs!, ...callNs!)).toBeGreaterThan(0);
      expect(Math.min(...latencyNs!)).toBeLessThan(10e6);
    }
    expect(
      await keeper.call<number[]>("publishBatches", { how: "none", batches: 3, batch: 10, size: frame.size }),
    )
      .toHaveLength(3);
    await keeper.call("stop");
    expect(childrenOf(keeper.child.pid)).toEqual([]);
    expect(files().filter((path) => !before.includes(path))).toEqual([]);
  });

  test.skipIf(!isThere).each(["input", "SIGTERM"] as const)(
    "is gone at once after the end of its %s",
    async (end) => {
      const before = files();
      await using keeper = new Keeper();
      const programs = await measuring(keeper);
      if (end === "input") keeper.child.stdin.end();
      else process.kill(keeper.child.pid, end);
      const ending = performance.now();
      await keeper.child.ended;
      expect(performance.now() - ending).toBeLessThan(10_000);
      expect(programs.filter(runs)).toEqual([]);
      expect(files().filter((path) => !before.includes(path))).toEqual([]);
    },
  );

  test.skipIf(!isThere)("does not outlive who keeps it, and its files go with the next start", async () => {
    const before = files();
    {
      await using keeper = new Keeper();
      const programs = await measuring(keeper);
      process.kill(keeper.child.pid, "SIGKILL");
      await eventually("its programs have ended", () => programs.every((pid) => !runs(pid)));
    }
    await using next = new Keeper();
    await next.call<RivalStarted>("start", { name, directory });
    await next.call("stop");
    expect(files().filter((path) => !before.includes(path))).toEqual([]);
  });
});
