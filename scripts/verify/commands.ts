// Runs command lines of the program, as documents and help texts have them, in projects that have the package installed:
// each until it has done what it is for, and its end.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../package/metadata.ts";
import { blocks, examplesOf, type Line, lines, quotedLines } from "./documents.ts";
import type { Project } from "./projects.ts";
import { reportOf, Started } from "./started.ts";

/** Stands in for every camera, device and file. */
export const clip: string = join(root, "test/fixtures/clip.mp4");

interface Attempt {
  readonly project: Project;
  readonly args: readonly string[];
  /** An empty directory, which it runs in. */
  readonly directory: string;
  /** Where the keys that are read are published. */
  readonly published: string;
}

type Run = (attempt: Attempt) => Promise<void>;

function begin(
  { project, args, directory }: Attempt,
  sockets: string,
  more: Record<string, string> = {},
  input?: Uint8Array,
): Started {
  const env = { CUFRAMES_RUNTIME_DIR: sockets, ...more };
  return Started.program(project, args, directory, env, undefined, input);
}

/** The files of a directory and below that have something in them. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(directory, name)).isFile() && statSync(join(directory, name)).size > 0);
}

/** How each command is run. A command without a line here is refused. */
const runs: Readonly<Record<string, Run>> = {
  async source(attempt) {
    const sockets = join(attempt.directory, "sockets");
    const isFile = attempt.args.includes("--config");
    const isGenerated = attempt.args.includes("lavfi");
    const isStandardInput = attempt.args[1] === "-";
    const args = attempt.args.map((word, index) => {
      const isInput = index === 1 && !word.startsWith("-") && !isGenerated;
      return isInput ? clip : word;
    });
    if (!isFile) {
      for (const flag of ["--realtime", ...isGenerated || isStandardInput ? [] : ["--loop"]]) {
        if (!args.includes(flag)) args.push(flag);
      }
    }
    const keys = isFile ? writeConfig(attempt.directory) : [args[args.indexOf("--key") + 1]!];
    const variables = { CUFRAMES_URL: clip, PARKING_PASSWORD: "secret" };
    const input = isStandardInput ? readFileSync(clip) : undefined;
    await using started = begin({ ...attempt, args }, sockets, variables, input);
    await published(started, keys.length);
    for (const key of keys) {
      const report = await reportOf(attempt.project, key, attempt.directory, sockets);
      if (report?.key !== key) throw started.failure(`nobody publishes as ${key}`);
    }
    await started.interrupted();
  },

  async pipe(attempt) {
    await using started = begin(attempt, attempt.published);
    await started.until("it wrote", () => started.child.bytes.length > 4096);
    await started.interrupted();
  },

  async record(attempt) {
    const args = attempt.args.map((word) => word.replace(/^\//, `${attempt.directory}/`));
    await using started = begin({ ...attempt, args }, attempt.published);
    const waits = args.includes("--on");
    await started.until(
      waits ? "it waits for events" : "it began a file",
      () => /recording |"begin"|waiting for events/.test(started.child.errors + started.child.text),
    );
    await started.interrupted();
    // Of what happens here nothing is an event.
    if (waits) return;
    if (filesIn(attempt.directory).length === 0) throw started.failure("there is no recording");
  },

  async snapshot(attempt) {
    await using started = begin(attempt, attempt.published);
    await started.succeeded();
    const { bytes } = started.child;
    if (bytes.length + filesIn(attempt.directory).length === 0) throw started.failure("there is no picture");
  },

  async inspect(attempt) {
    await using started = begin(attempt, attempt.published);
    await started.succeeded();
    const key = attempt.args[1]?.startsWith("-") === false ? attempt.args[1] : "parking";
    if (!started.child.text.includes(key)) throw started.failure(`${key} is not shown`);
  },

  async top(attempt) {
    await using started = begin(attempt, attempt.published);
    await started.until("it showed something", () => started.child.text.includes("parking"));
    await started.interrupted();
  },
};

/** Writes the config file of docs/cli.md, with files for its cameras, as `cameras.yaml`. @returns its keys */
function writeConfig(directory: string): string[] {
  const { text } = blocks.find(({ language, text }) =>
    language === "yaml" && text.includes("--config cameras.yaml")
  )!;
  const config = text
    .replace(
      /url: (.*)/g,
      (_, url: string) =>
        `url: ${url.includes("${") ? "${CUFRAMES_URL}" : clip}\n    realtime: true\n    loop: true`,
    )
    .replace(/^ *input-option:.*\n/m, "");
  writeFileSync(join(directory, "cameras.yaml"), config);
  return [...text.slice(text.indexOf("\ncameras:")).matchAll(/^ {2}(\w+):$/gm)].map(([, key = ""]) => key);
}

/** Waits until so many sources are published; a process that has to be started again is none. */
async function published(source: Started, count: number): Promise<void> {
  await source.until("it published", () => {
    const { errors } = source.child;
    if (errors.includes("starting it again")) throw source.failure("its process did not last");
    return (errors.match(/published as/g)?.length ?? 0) >= count;
  });
}

/** The words of a line, up to where another program or a file takes over. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const [word] of line.matchAll(/'[^']*'|"[^"]*"|\S+/g)) {
    if (["|", "<", ">", "&"].includes(word)) break;
    words.push(word.replace(/^(['"])(.*)\1$/, "$2").replace(/#.*$/, ""));
  }
  return words;
}

/** Whether a line runs the program. */
export function isCommand({ text }: Line): boolean {
  return text.startsWith("cuframes ");
}

/** Runs every command, by each line that documents and its own help show of it. */
export async function tryEveryCommand(project: Project, directory: string): Promise<void> {
  const help = await Started.program(project, ["--help"], project.directory).succeeded();
  const names = [...help.matchAll(/^ {2}(\w+) /gm)].map(([, name = ""]) => name).filter((name) =>
    name !== "help"
  );
  const examples: Line[] = [];
  for (const name of names) {
    if (runs[name] === undefined) {
      throw new Error(`scripts/verify/commands.ts does not say how to run "${name}"`);
    }
    const text = await Started.program(project, [name, "--help"], project.directory).succeeded();
    examples.push(...examplesOf(name, text));
  }
  const shown = [...lines.filter(isCommand), ...quotedLines, ...examples];
  const attempts = new Map(shown.map((line) => [line.text, { line, args: wordsOf(line.text).slice(1) }]));
  for (const name of names) {
    if (![...attempts.values()].some(({ args }) => args[0] === name)) {
      throw new Error(`no document and no help shows how "${name}" is typed`);
    }
  }
  const keys = new Set(["parking"]);
  for (const { args: [name = "", key] } of attempts.values()) {
    if (name !== "source" && key !== undefined && !key.startsWith("-")) keys.add(key);
  }
  mkdirSync(directory, { recursive: true });
  const sockets = join(directory, "sockets");
  const config = join(directory, "published.yaml");
  const cameras = [...keys].map((key) => `  ${key}: { url: "${clip}", realtime: true, loop: true }\n`);
  writeFileSync(config, `cameras:\n${cameras.join("")}`);
  await using source = Started.program(project, ["source", "--config", config], directory, {
    CUFRAMES_RUNTIME_DIR: sockets,
  }, 300);
  await published(source, keys.size);
  await forEach([...attempts.values()], async ({ line, args }) => {
    const run = runs[args[0]!];
    if (run === undefined) throw new Error(`${line.file}: "${line.text}" is no command of the program`);
    await run({ project, args, directory: mkdtempSync(join(directory, "run-")), published: sockets });
  });
  await source.interrupted();
  console.log(`${attempts.size} command lines of ${names.length} commands: ${project.name}`);
}

/** Some at a time. */
async function forEach<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}
