// What both builds of the npm package end with.

import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../lib/process.ts";
import { documents, npmName, root, version } from "./metadata.ts";

/** Puts the documents into a package and packs it into `dist/`; returns the tarball's path. */
export async function pack(folder: string, label: string): Promise<string> {
  for (const name of documents) copyFileSync(join(root, name), join(folder, name));
  const destination = join(root, "dist", label);
  mkdirSync(destination, { recursive: true });
  await run("npm", ["pack", "--silent", "--pack-destination", destination], { cwd: folder });
  return join(destination, `${npmName}-${version}.tgz`);
}
