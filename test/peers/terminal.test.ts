// `cuframes top` and the progress lines in a pseudo-terminal.

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Publisher } from "../../mod.ts";
import { succeedsSync } from "../../scripts/lib/process.ts";
import { root } from "../../scripts/toolchain.mjs";
import { cuframesCommand, Program } from "../support/cli.ts";
import { eventually, stages } from "../support/processes.ts";
import { CLIP, startCli } from "./support.ts";

const stage = stages();

const PYTHON = "/usr/bin/python3";
const noTerminal = !succeedsSync(PYTHON, ["-c", "import pty"]);
if (noTerminal) console.warn("tests in a terminal are skipped: apt-get install python3");

/** The program in a terminal of 30 rows and 120 columns. */
function inTerminal(args: readonly string[], env: Record<string, string> = {}): Program {
  const script = join(root, "test/peers/terminal.py");
  return new Program([PYTHON, script, "30", "120", ...cuframesCommand(args)], {
    env: { CUFRAMES_RUNTIME_DIR: stage().directory, TERM: "xterm-256color", ...env },
  });
}

const ESCAPE = "\x1b";
const ALTERNATE = `${ESCAPE}[?1049h`;
const BACK = `${ESCAPE}[?1049l`;
// deno-lint-ignore no-control-regex -- that is what a terminal is told: colours, bold, dim
const COLOUR = /\x1b\[[0-9;]*m/;

/** The pages that were drawn, without colours. */
function pagesOf(screen: string): string[] {
  // deno-lint-ignore no-control-regex -- that is what a terminal is told
  return screen.split(`${ESCAPE}[H`).slice(1).map((page) => page.replace(/\x1b\[[0-9;?]*[a-zA-Z]/g, ""));
}

describe.skipIf(noTerminal)("top", () => {
  test("shows publishers and subscribers live, with their rates, and gives the screen back at q", async () => {
    const camera = startCli(stage(), [
      ...["source", CLIP, "--key", "yard", "--realtime", "--loop", "--memory", "host", "--json"],
    ]);
    await camera.event("connected");
    const environment = { env: { CUFRAMES_RUNTIME_DIR: stage().directory } };
    const reader = new Program(cuframesCommand(["pipe", "yard", "--name", "quick"]), environment);
    const stuck = new Program(cuframesCommand(["pipe", "yard", "--name", "stuck"]), {
      ...environment,
      stdout: "leave",
    });
    const recorder = new Program(
      cuframesCommand(["pipe", "yard", "--packets", "--name", "taker"]),
      environment,
    );
    try {
      const top = inTerminal(["top", "--interval", "500ms"]);
      const row = (page: string, name: string) =>
        page.split("\n").find((line) => line.includes(name))?.trim().split(/\s+/) ?? [];
      const column = (page: string, name: string, title: string) => {
        const titles = row(page, "SUBSCRIBER  ");
        return row(page, name)[titles.indexOf(title)];
      };
      const newest = () => pagesOf(top.text).at(-2) ?? "";
      await eventually("rates are known", () => {
        const page = newest();
        return Number(column(page, "quick", "FPS")) > 15 && Number(column(page, "stuck", "LAG")) > 20 &&
          Number(column(page, "taker", "PACKETS/S")) > 15;
      }, 30_000);
      const page = newest();
      expect(page).toContain("1 publishers, 3 subscribers");
      expect(row(page, "320×240")).toContain("yard");
      expect(column(page, "quick", "DROPS")).toMatch(/^\d+$/);
      expect(column(page, "stuck", "LATENCY")).toMatch(/s$/);
      expect(column(page, "stuck", "FPS")).toBe("0.0");
      // Nothing is wider or higher than the screen, and colours are there.
      expect(top.text).toContain(`${ESCAPE}[1m`);
      for (const drawn of pagesOf(top.text)) expect(drawn.split("\n").length).toBeLessThanOrEqual(30);

      top.stdin.write("q");
      const { code } = await top.ended;
      expect(code).toBe(0);
      expect(top.text.startsWith(ALTERNATE)).toBe(true);
      expect(top.text.trimEnd().split("\n").at(-1)).toBe("[terminal] 0 restored");
      expect(top.text.slice(top.text.lastIndexOf(ALTERNATE))).toContain(BACK);
    } finally {
      for (const program of [reader, stuck, recorder]) program.kill("SIGKILL");
    }
  });

  test.each([["\x03", 130], [undefined, 143]])(
    "gives the screen back at a signal (%j)",
    async (key, code) => {
      const top = inTerminal(["top"]);
      await eventually("it draws", () => top.text.includes("no publisher"), 30_000);
      if (key) top.stdin.write(key);
      else top.kill("SIGTERM");
      expect((await top.ended).code).toBe(code);
      expect(top.text).toContain(BACK);
      expect(top.text).toContain("restored");
    },
  );

  test("shows who comes and goes", async () => {
    const top = inTerminal(["top", "--interval", "200ms"], { NO_COLOR: "1" });
    await eventually("nobody is there", () => top.text.includes("no publisher"), 30_000);
    const camera = startCli(stage(), [
      "source",
      CLIP,
      "--key",
      "gone",
      "--realtime",
      "--loop",
      "--memory",
      "host",
    ]);
    await eventually("it came", () => (pagesOf(top.text).at(-2) ?? "").includes("gone "), 30_000);
    camera.kill("SIGTERM");
    await camera.exited;
    await eventually("it went", () => (pagesOf(top.text).at(-2) ?? "").includes("no publisher"), 30_000);
    // Colours only where they are wanted; the screen is a terminal's all the same.
    expect(top.text).not.toMatch(COLOUR);
    top.stdin.write("q");
    expect((await top.ended).code).toBe(0);
  });
});

test.skipIf(noTerminal)("inspect is in colour on a terminal, and plain text with NO_COLOR", async () => {
  using _publisher = Publisher.create({
    ...{ key: "yard", width: 32, height: 16, memory: "host", runtimeDirectory: stage().directory },
  });
  const [colourful, plain] = ["", "1"].map((NO_COLOR) =>
    inTerminal(["inspect"], { NO_COLOR, FORCE_COLOR: "" })
  );
  for (const { ended } of [colourful!, plain!]) expect((await ended).code).toBe(0);
  expect(colourful!.text).toMatch(COLOUR);
  expect(plain!.text).toMatch(/^KEY .*\r\nyard .*32×16/);
  expect(plain!.text).not.toContain(ESCAPE);
});

test.skipIf(noTerminal)("a person is not given bytes, and sees progress in one line", async () => {
  const camera = startCli(stage(), [
    "source",
    CLIP,
    "--key",
    "cam",
    "--realtime",
    "--loop",
    "--memory",
    "host",
    "--json",
  ]);
  await camera.event("connected");
  const pipe = inTerminal(["pipe", "cam"]);
  expect((await pipe.ended).code).toBe(2);
  expect(pipe.text).toContain("the standard output is a terminal");
  const recording = inTerminal([
    "record",
    "cam",
    "--output",
    join(stage().directory, "cam.mp4"),
    "--duration",
    "2s",
  ]);
  expect((await recording.ended).code).toBe(0);
  expect(recording.text.split(`\r${ESCAPE}[K`).at(-2)).toMatch(/cam\.mp4: \d+ packets, 0 lost$/);
});
