import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** What `npm run test:peers` runs: the tests beside other programs, which take minutes. */
export default defineConfig({ test: { ...base.test, include: ["test/peers/**/*.test.ts"], exclude: [] } });
