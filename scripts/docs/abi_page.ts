// docs/abi.md says what each function of the C ABI does, by the names that the header has; what the header says it leaves
// to the header.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { header, root } from "../package/metadata.ts";

const page = "docs/abi.md";

/** Every function of the header, as `name(parameter, parameter)`. */
function signatures(): string[] {
  const text = readFileSync(join(root, header), "utf8");
  return [...text.matchAll(/^\w+ (cuframes_\w+)\(([^;]*)\);$/gm)].map(([, name = "", parameters = ""]) => {
    const names = parameters.split(",").map((one) => one.match(/(\w+)(\[\d+\])?\s*$/)?.[1]);
    return `${name}(${names[0] === "void" ? "" : names.join(", ")})`;
  });
}

/** What is wrong with the page. */
export function abiPageProblems(): string[] {
  const text = readFileSync(join(root, page), "utf8");
  const described = new Set(
    [...text.matchAll(/\*\*`(cuframes_\w+\([^`]*\))`\*\*/g)].map(([, one = ""]) => one),
  );
  const declared = new Set(signatures());
  const problems = [
    ...[...declared.difference(described)].map((one) => `${page} does not describe ${one}`),
    ...[...described.difference(declared)].map((one) =>
      `${page} describes ${one}, which ${header} does not have`
    ),
  ];
  if (declared.size === 0) problems.push(`no function was found in ${header}`);
  if (/^(struct|enum) cuframes_\w+ \{|^#define CUFRAMES_/m.test(text)) {
    problems.push(`${page} copies ${header}`);
  }
  return problems;
}
