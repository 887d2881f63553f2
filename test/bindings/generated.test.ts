// What is written from the Zig sources is in the repository as the sources say it now. Needs `zig build bindings`.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { generated } from "../../scripts/build.ts";
import { root } from "../../scripts/toolchain.mjs";

const files = Object.entries(generated).map(([name, path]) => [path, name] as const);

test.each(files)("%s is what the Zig sources say: else run `npm run build`", (path, name) => {
  const read = (file: string) => readFileSync(join(root, file), "utf8");
  expect(read(path)).toBe(read(join("zig/zig-out/share", name)));
});
