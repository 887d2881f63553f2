// What a reader of the API reference must find: every public symbol described, every class and function with an example,
// and no `any`. And what the documents say of the C ABI and quote from files: `--write` takes the quotes over from the files.

import process from "node:process";
import { Child, outputOf } from "./lib/process.ts";
import { entryPoints } from "./package/metadata.ts";
import { abiPageProblems } from "./docs/abi_page.ts";
import { quoteProblems } from "./docs/quotes.ts";
import { root, tool } from "./toolchain.mjs";

interface Documented {
  name: string;
  /** As "class" or "interface". */
  kind?: string;
  jsDoc?: { doc?: string; tags?: { kind: string }[] };
}

interface Declared extends Documented {
  declarations?: Documented[];
}

const problems = [...quoteProblems(process.argv.includes("--write")), ...abiPageProblems()];

/** Whether a type `any` is anywhere in what `deno doc` says of a symbol. */
function hasAny(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasAny);
  if (typeof value !== "object" || value === null) return false;
  const { kind, keyword } = value as { kind?: unknown; keyword?: unknown };
  return kind === "keyword" && keyword === "any" || Object.values(value).some(hasAny);
}

for (const [name, path] of entryPoints) {
  const output = await outputOf(tool("deno"), ["doc", "--json", path], { stderr: "ignore" });
  const { nodes } = JSON.parse(output) as {
    nodes: Record<string, { symbols: Declared[] }> | Declared[];
  };
  const symbols = Array.isArray(nodes) ? nodes : Object.values(nodes).flatMap(({ symbols }) => symbols);
  for (const symbol of symbols) {
    const declarations = symbol.declarations ?? [symbol];
    const docs = declarations.flatMap(({ jsDoc }) => jsDoc === undefined ? [] : [jsDoc]);
    const where = `${name}: ${symbol.name}`;
    if (!docs.some(({ doc }) => doc)) problems.push(`${where} has no description`);
    const shown = declarations.some(({ kind }) => kind === "class" || kind === "function");
    if (shown && !docs.some(({ tags }) => tags?.some(({ kind }) => kind === "example"))) {
      problems.push(`${where} has no example`);
    }
    if (hasAny(symbol)) problems.push(`${where} has the type any`);
  }
}
// It complains about what is not this project's, too.
const lint = new Child([tool("deno"), "doc", "--lint", ...entryPoints.map(([, path]) => path)], {
  env: { NO_COLOR: "1" },
});
await lint.ended;
for (const [, place = ""] of lint.errors.matchAll(/\[missing-jsdoc\][^\n]*\n\s*--> (\S+)/g)) {
  if (place.startsWith(`${root}/src/`)) problems.push(`${place.slice(root.length + 1)} has no description`);
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
}
