// What `.ci/run` does before the tests: everything that is built, judged and packed, side by side where nothing waits for
// anything. The tests come after it and have the machine for themselves, since some of them look at the clock.

import process from "node:process";
import { generated } from "./build.ts";
import { runTasks, type Task } from "./lib/tasks.ts";
import { version } from "./package/metadata.ts";

const npm = (name: string, ...args: string[]) => ["npm", "run", "--silent", name, ...args];
const tarball = `dist/offline/cuframes-${version}.tgz`;

// In this order where several could be next: what others wait for, and what takes long, is first.
const tasks: Task[] = [
  { name: "build:release", command: npm("build:release") },
  { name: "build", command: npm("build") },
  {
    name: "what was built is committed",
    command: ["git", "diff", "--exit-code", "--", ...Object.values(generated)],
    after: ["build"],
  },
  { name: "test:arm64", command: npm("test:arm64") },
  { name: "build:npm", command: npm("build:npm"), after: ["build:release"] },
  { name: "verify:jsr", command: npm("verify:jsr"), after: ["build:release"] },
  { name: "verify:npm", command: npm("verify:npm", tarball), after: ["build:npm"] },
  { name: "sbom", command: npm("sbom", tarball), after: ["build:npm"] },
  { name: "check", command: npm("check"), after: ["build"] },
  { name: "docs:api", command: npm("docs:api") },
  { name: "test:inference", command: npm("test:inference"), after: ["build"] },
];
process.exitCode = await runTasks(tasks, { verbose: true }) ? 0 : 1;
