// Needs `zig build bindings`.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

test.each(["layout.ts", "symbols.ts"])(
  "src/ffi/%s is what the Zig sources say: else run `npm run build`",
  (name) => {
    const read = (folder: string) => readFileSync(join(import.meta.dirname!, "..", folder, name), "utf8");
    expect(read("src/ffi")).toBe(read("zig/zig-out/share"));
  },
);
