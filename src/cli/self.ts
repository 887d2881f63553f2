/** This file says how this program is started once more. */
import process from "node:process";
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };

/** The command that runs this program on this runtime, without its arguments. */
export function thisProgram(): string[] {
  // Beside this file, and compiled as it is: a .ts in a checkout and on JSR, a .js on npm.
  const url = import.meta.url.replace(/[^/]*(\.[jt]s)$/, "main$1");
  const main = url.startsWith("file:") ? fileURLToPath(url) : url;
  if (!("Deno" in globalThis)) return [process.execPath, ...process.execArgv, main];
  // In Deno's own cache a module of an npm package finds what it imports only when it is started as that package's.
  const isCached = main.endsWith(".js") && !main.includes("/node_modules/");
  return [process.execPath, "run", "-A", isCached ? `npm:cuframes@${manifest.version}` : main];
}
