// The permissions that docs/getting-started/deno.md names for each entry point: they are enough, and none can be left away.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../package/metadata.ts";
import { tool } from "../toolchain.mjs";
import { clip } from "./commands.ts";
import { programOf, type Project } from "./projects.ts";
import { reportOf, Started } from "./started.ts";

interface Row {
  /** As "`cuframes`" or "`cuframes record`". */
  readonly what: string;
  readonly flags: readonly string[];
}

/** The rows of the table whose first column is `what`. */
function rows(): Row[] {
  const text = readFileSync(join(root, "docs/getting-started/deno.md"), "utf8");
  const found = [...text.matchAll(/^\| `(cuframes[^`]*)` +\| (`--allow[^|]*)\|$/gm)];
  return found.map(([, what = "", flags = ""]) => ({
    what,
    flags: [...flags.matchAll(/`([^`]*)`/g)].map(([, flag = ""]) => flag),
  }));
}

const importing: Readonly<Record<string, string>> = {
  "cuframes": `
import { Publisher, Subscriber } from "cuframes";
using publisher = Publisher.create({ key: "permissions-" + Deno.pid, width: 64, height: 64, format: "GRAY8" });
using camera = await Subscriber.connect("permissions-" + Deno.pid);
using frame = publisher.acquire();
frame.publish();
using _received = await camera.next({ timeout: 10_000 });
console.log("done");`,
  "cuframes/media": `
import { openMedia } from "cuframes/media";
await using media = await openMedia(${JSON.stringify(clip)});
for await (const _ of media) break;
console.log("done");`,
  "cuframes/source": `
import { CameraSource } from "cuframes/source";
await using source = CameraSource.start({ input: ${JSON.stringify(clip)}, key: "permissions-" + Deno.pid });
await source.closed;
console.log("done");`,
};

/** The program's command lines: what they print is looked at, because a part of a command may do without. */
const commands: Readonly<Record<string, { args: readonly string[]; done: RegExp }>> = {
  "cuframes source": { args: ["source", clip, "--key", "other"], done: /ended: 250 frames/ },
  "cuframes source --config": {
    args: ["source", "--config", "cameras.yaml"],
    done: /one: ended: 250 frames/,
  },
  "cuframes pipe": { args: ["pipe", "cam", "--count", "1"], done: /YUV4MPEG2/ },
  "cuframes record": {
    args: ["record", "cam", "--output", "cam.mp4", "--duration", "1s"],
    done: /packets in 1 files/,
  },
  "cuframes snapshot": { args: ["snapshot", "cam", "cam.png"], done: /cam\.png: frame/ },
  "cuframes inspect": { args: ["inspect"], done: /^cam /m },
  "cuframes top": { args: ["top", "--count", "1"], done: /^cam /m },
};

/** Runs every row with its flags, and with each of them left away. */
export async function tryPermissions(project: Project): Promise<void> {
  const table = rows();
  const known = [...Object.keys(importing), ...Object.keys(commands)].sort();
  const named = table.map(({ what }) => what).sort();
  if (JSON.stringify(known) !== JSON.stringify(named)) {
    throw new Error(
      `docs/getting-started/deno.md names the permissions of ${named.join(", ")}, not of ${known.join(", ")}`,
    );
  }
  const directory = mkdtempSync(join(project.directory, "permissions-"));
  const sockets = join(directory, "sockets");
  writeFileSync(join(directory, "cameras.yaml"), `cameras: { one: { url: "${clip}" } }\n`);
  await using source = Started.program(
    project,
    ["source", clip, "--key", "cam", "--realtime", "--loop"],
    directory,
    {
      CUFRAMES_RUNTIME_DIR: sockets,
    },
    300,
  );
  await source.seen(
    "it published",
    async () => await reportOf(project, "cam", directory, sockets) !== undefined,
  );
  for (const { what, flags } of table) {
    const given = flags.map((flag) => flag.replace("SOCKETS", sockets).replace("FILE", "cameras.yaml"));
    if (!await works(project, what, given, directory, sockets)) {
      throw new Error(`${what} needs more than ${flags.join(" ")}`);
    }
    for (const flag of given) {
      const fewer = given.filter((other) => other !== flag);
      if (await works(project, what, fewer, directory, sockets)) {
        throw new Error(`${what} does without ${flag}`);
      }
    }
  }
  console.log(
    `the permissions of ${table.length} entries and commands are enough, and the least: ${project.name}`,
  );
}

async function works(
  project: Project,
  what: string,
  flags: readonly string[],
  directory: string,
  sockets: string,
): Promise<boolean> {
  const code = importing[what];
  if (code !== undefined) writeFileSync(join(directory, "entry.ts"), code);
  const { args, done } = commands[what] ?? { args: ["entry.ts"], done: /^done$/m };
  const target = code === undefined ? programOf(project).slice(-1) : [];
  const command = [tool("deno"), "run", "--quiet", "--no-prompt", ...flags, ...target, ...args];
  await using started = new Started(project, command, directory, { CUFRAMES_RUNTIME_DIR: sockets });
  const { code: exitCode } = await started.child.ended;
  const output = started.child.errors + started.child.text;
  if (/Uncaught|^\s+at /m.test(output) && !/CuframesError/.test(output)) {
    throw started.failure("it told no sentence");
  }
  return exitCode === 0 && done.test(output);
}
