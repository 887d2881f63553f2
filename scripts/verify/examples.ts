// Runs the programs that documents show, as they stand there, in projects that have the package installed. What is not run
// here says where it is run, or what it would need; what does neither is refused, and so is a line of a table that no
// document has any more.

import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsrName } from "../package/metadata.ts";
import { tool } from "../toolchain.mjs";
import { clip, isCommand } from "./commands.ts";
import { type Block, blocks, lines, nameOf, nameOfLine } from "./documents.ts";
import type { Project } from "./projects.ts";
import { reportOf, Started } from "./started.ts";

interface Place {
  readonly project: Project;
  /** An empty directory, which is also that of the sockets. */
  readonly directory: string;
}

type Run = (block: Block, place: Place) => Promise<void>;

/** Why something is not run here. */
type Elsewhere = string;

const needsGpu: Elsewhere = "needs a GPU: `npm run test:gpu`";
const isFragment: Elsewhere =
  "has descriptors of its reader's: test/images/dmabuf_example.test.ts runs examples/dmabuf";
const needsCheckout: Elsewhere = "is for a checkout";
const isInstalled: Elsewhere = "is how the projects were made";
const isPrinted: Elsewhere = "is what something prints, or a drawing";
const isCompiled: Elsewhere = "is an example of examples/c: test/bindings/c.test.ts compiles and runs them";

/** What programs of the documents call with a frame. */
const detect = "async function detect(_frame: object): Promise<void> {}\n";

/** How each TypeScript is run. */
const programs: Readonly<Record<string, Run | Elsewhere>> = {
  'README.md: import { Subscriber } from "jsr:@cuframes/core"; // Bun, Node: import { Subscriber } from "cuframes"':
    readsFrames("cam-parking", detect),
  'README.md: import { Publisher } from "@cuframes/core";': ends,
  'README.md: import { Subscriber } from "@cuframes/core";': readsFrames("cam-parking"),
  'README.md: import { Publisher, Subscriber } from "@cuframes/core";': ends,
  'README.md: import { CameraSource } from "@cuframes/core/source";': ends,
  'README.md: using publisher = Publisher.create({ key: "cam-gpu", width: 1920, height: 1080, memory: "cuda" });':
    needsGpu,
  'README.md: import { importDmabuf } from "@cuframes/core";': isFragment,
  'docs/cuda.md: import { devices, Publisher } from "@cuframes/core";': needsGpu,
  "docs/cuda.md: using frame = publisher.acquire();": needsGpu,
  'docs/dmabuf.md: import { DescriptorSocket } from "@cuframes/core";': isFragment,
  'docs/dmabuf.md: import { DescriptorSocket, importDmabuf, Publisher } from "@cuframes/core";': isFragment,
  'docs/source.md: import { CameraSource } from "@cuframes/core/source"; // Bun, Node: import { CameraSource } from "cuframes/source"':
    ends,
  'docs/source.md: import { isCuframesError, Subscriber } from "@cuframes/core";': readsFrames(
    "cam-parking",
    detect,
  ),
  'docs/source.md: import { Publisher, Subscriber } from "@cuframes/core";': readsFrames("parking"),
  'docs/source.md: import { Subscriber } from "@cuframes/core";':
    "reads for ever what the program before it sends: test/packets/data.test.ts",
  "docs/source.md: // Publishes a camera under a key until Ctrl-C, and opens it again whenever it is lost: source.ts INPUT [KEY]":
    publishesUntilInterrupted,
  ...Object.fromEntries(["deno", "bun", "node"].flatMap((runtime) => {
    const specifier = runtime === "deno" ? "jsr:@cuframes/core" : "cuframes";
    const guide = `docs/getting-started/${runtime}.md`;
    return [
      [`${guide}: import { Publisher } from "${specifier}";`, `runs with its guide's lines, on ${runtime}`],
      [`${guide}: import { Subscriber } from "${specifier}";`, `runs with its guide's lines, on ${runtime}`],
    ];
  })),
};

/** Lines of shell that are no command lines of the program. */
const shell: Readonly<Record<string, Elsewhere>> = {
  "README.md: git clone … && cd cuframes": needsCheckout,
  ...Object.fromEntries(
    lines.filter(({ text }) => text.startsWith("npm run ") || text.startsWith("npm test")).map((line) => [
      nameOfLine(line),
      needsCheckout,
    ]),
  ),
  ...Object.fromEntries(
    ["deno", "bun", "node"].flatMap((runtime) =>
      lines.filter(({ file, text }) => file === `docs/getting-started/${runtime}.md` && isOfGuide(text)).map((
        line,
      ) => [
        nameOfLine(line),
        `runs the guide's programs, on ${runtime}`,
      ])
    ),
  ),
  ...Object.fromEntries(
    lines.filter((line) => line.file === "docs/abi.md").map((line) => [nameOfLine(line), isCompiled]),
  ),
  "docs/getting-started/bun.md: bun add cuframes": isInstalled,
  "docs/getting-started/node.md: npm install cuframes": isInstalled,
  "docs/dmabuf.md: bun run examples/dmabuf/publisher.ts @capture camera host": needsCheckout,
  "docs/dmabuf.md: deno run -A examples/dmabuf/capture.ts @capture 300": needsCheckout,
};

/** Whether a line of a guide starts one of the guide's programs. */
function isOfGuide(line: string): boolean {
  return /^(deno run|bun|node) (.* )?(publisher|subscriber)\.ts$/.test(line);
}

/** Blocks that are neither TypeScript nor shell; command lines of the program in them are run all the same. */
const others: Readonly<Record<string, Elsewhere>> = {
  "README.md: ┌─────────┬─────────┬───────────┬──────────┬─────────┬──────┬────────┬────────┐": isPrinted,
  'docs/abi.md: // Publishes fifty pictures under the key "example".': isCompiled,
  'docs/abi.md: // Reads every picture that is published under the key "example", until the publisher is gone.':
    isCompiled,
  "docs/abi.md: // Imports a picture from a descriptor and publishes it: here shared memory that this process fills itself. With":
    isCompiled,
  "docs/architecture.md: cuframes[10936] 5417748587.971 cuframes_publisher_acquire(1, 0) = 3, 2.105 µs":
    isPrinted,
  "docs/cli.md: # cuframes source --config cameras.yaml": "is what `source --config` is run with",
  "docs/cli.md: $ cuframes inspect": isPrinted,
  "docs/cli.md: the ring has 9 slots now: detector (pid 10190), which holds 8 frames, the oldest for 112ms, most of all":
    isPrinted,
  "docs/cuda.md: services:": "needs Docker and a GPU",
  "docs/dmabuf.md: capture process                        publisher process                     subscribers":
    isPrinted,
  "docs/frigate.md: camera ──RTSP──► cuframes source ──ring──► cuframes pipe --packets ──stdout──► go2rtc ──RTSP──► Frigate":
    isPrinted,
  "docs/frigate.md: # go2rtc.yaml": "needs go2rtc, but for what it starts",
  "docs/frigate.md: # frigate.yml": "needs Frigate",
  "docs/frigate.md: # go2rtc.yaml; exec: has no shell of its own": "needs go2rtc, but for what it starts",
};

/** Fails where a document has what no table knows, or a table what no document has. */
export function checkTables(): void {
  const inLanguage = (wanted: (language: string) => boolean) =>
    blocks.filter(({ language }) => wanted(language)).map(nameOf);
  const problems = [
    ...compare(programs, inLanguage((language) => language === "ts")),
    ...compare(others, inLanguage((language) => language !== "ts" && language !== "sh")),
    ...compare(shell, lines.filter((line) => !isCommand(line)).map(nameOfLine)),
  ];
  const seen = new Set<string>();
  for (const name of inLanguage((language) => language === "ts")) {
    if (seen.has(name)) problems.push(`${name}\n  begins two programs, of which one would not be run`);
    seen.add(name);
  }
  if (problems.length > 0) throw new Error(`scripts/verify/examples.ts:\n${problems.join("\n")}`);
}

function compare(table: object, found: readonly string[]): string[] {
  const names = new Set(found);
  return [
    ...[...names].filter((name) => !(name in table)).map((name) => `${name}\n  is not run`),
    ...Object.keys(table).filter((name) => !names.has(name)).map((name) => `${name}\n  is in no document`),
  ];
}

/** Runs all of them. */
export async function tryEveryExample(project: Project, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const place = (): Place => ({ project, directory: mkdtempSync(join(directory, "example-")) });
  let count = 0;
  for (const block of blocks) {
    const run = block.language === "ts" ? programs[nameOf(block)] : undefined;
    if (typeof run !== "function") continue;
    await run(block, place());
    count++;
  }
  await tryGuide(place());
  console.log(`${count} programs of the documents, and the guide's: ${project.name}`);
}

/** A program of the documents, for this project. */
function adapted(text: string, { specifier }: Project): string {
  return text
    .replace(new RegExp(`"(?:jsr:)?${jsrName}(/[a-z]+)?"`, "g"), (_, entry = "") => `"${specifier}${entry}"`)
    .replace('"cuframes"', `"${specifier}"`)
    .replace('"../source.ts"', `"${specifier}/source"`)
    .replaceAll("rtsp://camera.local/stream", clip);
}

/** Starts a program. @param flags what comes before its path */
function start(
  { project, directory }: Place,
  name: string,
  code: string,
  args: readonly string[] = [],
  flags: readonly string[] = project.runtime === "deno" ? ["run", "-A", "--quiet"] : [],
): Started {
  writeFileSync(join(directory, name), code);
  const env = { CUFRAMES_RUNTIME_DIR: directory };
  return new Started(project, [tool(project.runtime), ...flags, name, ...args], directory, env);
}

async function ends(block: Block, place: Place): Promise<void> {
  await start(place, "example.ts", adapted(block.text, place.project)).succeeded();
}

async function publishesUntilInterrupted(block: Block, place: Place): Promise<void> {
  const { project, directory } = place;
  await using started = start(place, "example.ts", adapted(block.text, project), [clip, "cam"]);
  await started.seen(
    "it published",
    async () => await reportOf(project, "cam", directory, directory) !== undefined,
  );
  started.child.kill("SIGINT");
  const output = await started.succeeded();
  if (!/^\d+ frames and \d+ packets/m.test(output)) throw started.failure("it did not tell its counts");
}

/** A program that reads frames for ever: it is seen in its publisher's report. */
function readsFrames(key: string, more = ""): Run {
  return async (block, place) => {
    const { project, directory } = place;
    const report = () => reportOf(project, key, directory, directory);
    const args = ["source", clip, "--key", key, "--realtime", "--loop"];
    await using source = Started.program(project, args, directory, { CUFRAMES_RUNTIME_DIR: directory });
    await source.seen("it published", async () => await report() !== undefined);
    await using reader = start(place, "example.ts", `${adapted(block.text, project)}\n${more}`);
    await reader.seen("it received", async () => {
      const subscribers = (await report())?.subscribers ?? [];
      return subscribers.some(({ pid, received }) => pid === reader.child.pid && received > 3);
    });
  };
}

/** The publisher and the subscriber of a runtime's guide, started as it says. */
async function tryGuide(place: Place): Promise<void> {
  const { project } = place;
  const guide = `docs/getting-started/${project.runtime}.md`;
  const [publisherCode = "", subscriberCode = ""] = blocks
    .filter(({ file, language }) => file === guide && language === "ts")
    .map(({ text }) => adapted(text, project));
  const flags = lines.filter(({ file, text }) => file === guide && isOfGuide(text)).map(({ text }) =>
    text.replaceAll("$HOME", project.environment["HOME"]!).split(" ").slice(1, -1)
  );
  await using _publisher = start(place, "publisher.ts", publisherCode, [], flags[0]);
  await using subscriber = start(place, "subscriber.ts", subscriberCode, [], flags.at(-1));
  await subscriber.until("it received", () => (subscriber.child.text.match(/\n/g)?.length ?? 0) >= 3);
}
