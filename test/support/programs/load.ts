// Loads the native library as the options say, and reports how that ended.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Publisher } from "../../../mod.ts";
import { cachedFile } from "../../../src/ffi/cache.ts";
import { optionsOf, outcomeOf, report } from "./worker.ts";

export interface Options {
  key: string;
  runtimeDirectory: string;
  /** Through the cache, as a package whose modules are remote does: from these contents. */
  contents?: string;
  /** What the process is to be taken for. */
  arch?: string;
  nodeVersion?: string;
}

const { contents, arch, nodeVersion, ...place } = optionsOf<Options>();
if (arch !== undefined) Object.defineProperty(process, "arch", { value: arch });
if (nodeVersion !== undefined) {
  Object.defineProperty(process, "versions", { value: { ...process.versions, node: nodeVersion } });
  Object.defineProperty(process, "version", { value: `v${nodeVersion}` });
  process.getBuiltinModule = () => undefined as never;
}

try {
  if (contents !== undefined) {
    const bytes = readFileSync(contents);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    process.env.CUFRAMES_LIBRARY = cachedFile(sha256, () => bytes);
  }
  Publisher.create({ ...place, width: 16, height: 16, memory: "host" }).close();
  report("loaded");
} catch (error) {
  report("refused", outcomeOf(error));
}
