import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** What `npm run test:cli` runs: the tests with other programs, which take minutes. */
export default defineConfig({ test: { ...base.test, include: ["test/peers/*.test.ts"], exclude: [] } });
