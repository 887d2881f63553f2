import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // vitest.peers.config.ts has them.
    exclude: ["test/peers/**"],
    // Bun cannot run vitest's processes, Deno not its threads with native callbacks.
    pool: "Bun" in globalThis ? "threads" : "forks",
    // Tests start processes of their own; two cores.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
