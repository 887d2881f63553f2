// Runs examples/inference, which has packages of its own, on frames whose mean is known.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Publisher } from "../mod.ts";
import { build } from "./build.ts";
import { outputOf, run } from "./lib/process.ts";
import { root, tool } from "./toolchain.mjs";

const folder = join(root, "examples/inference");
await build();
await run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"], { cwd: folder });
const runtimeDirectory = mkdtempSync(join(tmpdir(), "cuframes-inference-"));
try {
  using publisher = Publisher.create({ key: "cam", width: 64, height: 48, format: "NV12", runtimeDirectory });
  using frame = publisher.acquire();
  const { data, stride } = frame.planes[0]!;
  for (let row = 0; row < 48; row++) data.fill(row < 24 ? 40 : 200, row * stride, row * stride + 64);
  frame.publish({ timestamp: 40_000 });
  const stdout = await outputOf(tool("node"), [join(folder, "main.ts"), "cam", "1"], {
    env: { CUFRAMES_RUNTIME_DIR: runtimeDirectory },
    limit: 120,
  });
  const wanted = JSON.stringify({ timestamp: 40_000, mean: 120 });
  if (stdout.trim() !== wanted) throw new Error(`examples/inference printed ${stdout}, not ${wanted}`);
  console.log(`examples/inference: ${wanted}`);
} finally {
  rmSync(runtimeDirectory, { recursive: true, force: true });
}
