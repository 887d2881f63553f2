// Files that the documents quote whole: a comment `<!-- quote: PATH -->`, and behind it a block of code with the file's
// text. What is quoted is tested where it is; a document alone would go stale.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../package/metadata.ts";

const quotes = /(<!-- quote: (\S+) -->\n+```\w*\n)([\s\S]*?)(```)/g;
/** Every file here is there to be quoted. */
const quoted = "examples/c";

/** What is wrong with the quotes of all documents; with `write` the files' texts are put in first. */
export function quoteProblems(write: boolean): string[] {
  const problems: string[] = [];
  const found = new Set<string>();
  const documents = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  for (const document of ["README.md", ...documents.map((name) => `docs/${name}`)]) {
    if (!document.endsWith(".md")) continue;
    const path = join(root, document);
    const text = readFileSync(path, "utf8");
    const current = text.replace(
      quotes,
      (whole, before: string, file: string, text: string, after: string) => {
        found.add(file);
        if (!existsSync(join(root, file))) {
          problems.push(`${document} quotes ${file}, which is not there`);
          return whole;
        }
        const original = readFileSync(join(root, file), "utf8");
        if (text !== original && !write) {
          problems.push(`${document} quotes ${file} as it is not: \`npm run docs:quotes\` corrects that`);
        }
        return `${before}${original}${after}`;
      },
    );
    if (write && current !== text) writeFileSync(path, current);
  }
  for (const name of readdirSync(join(root, quoted))) {
    if (!found.has(`${quoted}/${name}`)) problems.push(`no document quotes ${quoted}/${name}`);
  }
  return problems;
}
