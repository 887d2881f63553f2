// What the documents show: their blocks of code, and the command lines of the program in them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../package/metadata.ts";

/** A fenced block of a document. */
export interface Block {
  /** From the repository's root. */
  readonly file: string;
  /** As "ts" or "sh"; empty where the fence says none. */
  readonly language: string;
  readonly text: string;
}

/** A line of shell. */
export interface Line {
  readonly file: string;
  /** Without its prompt, its comment, a `&` at its end, and what writes to the program's standard input. */
  readonly text: string;
}

function documents(): string[] {
  const inDocs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  const pages = inDocs.filter((name) => name.endsWith(".md") && !name.startsWith("results/"));
  return ["README.md", ...pages.map((name) => `docs/${name}`).sort()];
}

/** Every block of README.md and of docs/, without the results of measurements. */
export const blocks: readonly Block[] = documents().flatMap((file) => {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/^```(\w*)[^\n]*\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
    file,
    language,
    text,
  }));
});

/** How a table names a block: by its file and its first line. */
export function nameOf({ file, text }: Block): string {
  return `${file}: ${text.split("\n").find((line) => line.trim() !== "")?.trim()}`;
}

/** How a table names a line. */
export function nameOfLine({ file, text }: Line): string {
  return `${file}: ${text}`;
}

function lineOf(file: string, text: string): Line {
  const command = text.replace(/^\$ /, "").replace(/\s+#.*$/, "").replace(/\s*&$/, "").trim();
  return { file, text: command.replace(/^ffmpeg [^|]* - \| (?=cuframes )/, "") };
}

/** The lines of the blocks of shell. */
export const lines: readonly Line[] = blocks.filter(({ language }) => language === "sh").flatMap((
  { file, text },
) =>
  text.split("\n").map((line) => lineOf(file, line)).filter(({ text }) =>
    text !== "" && !text.startsWith("#")
  )
);

/** Command lines of the program in what is no shell: after a prompt, or for other software to start. */
export const quotedLines: readonly Line[] = blocks.filter(({ language }) => language !== "sh").flatMap((
  { file, text },
) =>
  [...text.matchAll(/(?:^\$ |exec:|")(cuframes (?:[a-z]+\b|--)[^|"#\n]*)/gm)].map(([, line = ""]) =>
    lineOf(file, line)
  )
);

/** The command lines in a command's `--help`. */
export function examplesOf(command: string, help: string): Line[] {
  return [...help.matchAll(/^ *\$ (cuframes .*)$/gm)].map(([, line = ""]) =>
    lineOf(`${command} --help`, line)
  );
}
