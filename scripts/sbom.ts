// What is in an npm tarball and what it needs, as CycloneDX 1.6, and the digests of every file of a release:
// `node scripts/sbom.ts TARBALL` writes sbom.cdx.json and SHA256SUMS beside it.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { PLATFORMS } from "../src/ffi/platform.ts";
import {
  dependencies,
  description,
  header,
  license,
  npmName,
  peerDependencies,
  root,
  version,
} from "./package/metadata.ts";

const tarball = process.argv[2];
if (tarball === undefined) throw new Error("usage: node scripts/sbom.ts TARBALL");
const directory = dirname(tarball);

const lock: {
  packages: Record<string, { version?: string; license?: string; dependencies?: Record<string, string> }>;
} = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
const digestOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const reference = (name: string, itsVersion: string) => `pkg:npm/${name.replace("@", "%40")}@${itsVersion}`;

/** What is installed with the package, by name. */
const installed = new Map<string, { version: string; license: string | undefined; needs: string[] }>();
function add(name: string): void {
  if (installed.has(name)) return;
  const found = lock.packages[`node_modules/${name}`];
  if (found?.version === undefined) throw new Error(`package-lock.json has no ${name}`);
  const needs = Object.keys(found.dependencies ?? {});
  installed.set(name, { version: found.version, license: found.license, needs });
  needs.forEach(add);
}
Object.keys(dependencies).forEach(add);

const self = reference(npmName, version);
const files = PLATFORMS.map((platform) => {
  const name = `libcuframes-${platform}.so`;
  const content = digestOf(join(root, "zig/zig-out/release", name));
  return {
    type: "file",
    name,
    "bom-ref": `${self}#${name}`,
    hashes: [{ alg: "SHA-256", content }],
    licenses: [{ license: { id: license } }],
  };
});
const libraries = [...installed].map(([name, its]) => ({
  type: "library",
  name,
  version: its.version,
  "bom-ref": reference(name, its.version),
  purl: reference(name, its.version),
  ...(its.license === undefined ? {} : { licenses: [{ license: { id: its.license } }] }),
}));
const bom = {
  bomFormat: "CycloneDX",
  specVersion: "1.6",
  version: 1,
  metadata: {
    component: {
      type: "library",
      name: npmName,
      version,
      description,
      "bom-ref": self,
      purl: self,
      licenses: [{ license: { id: license } }],
      hashes: [{ alg: "SHA-256", content: digestOf(tarball) }],
      properties: Object.entries(peerDependencies).map(([name, value]) => ({
        name: `npm:optionalPeer:${name}`,
        value,
      })),
    },
  },
  components: [...files, ...libraries],
  dependencies: [
    {
      ref: self,
      dependsOn: Object.keys(dependencies).map((name) => reference(name, installed.get(name)!.version)),
    },
    ...[...installed].map(([name, its]) => ({
      ref: reference(name, its.version),
      dependsOn: its.needs.map((need) => reference(need, installed.get(need)!.version)),
    })),
  ],
};
const bomFile = join(directory, "sbom.cdx.json");
writeFileSync(bomFile, `${JSON.stringify(bom, null, 2)}\n`);
const native = [...files.map(({ name }) => name), basename(header)];
const released = [tarball, bomFile, ...native.map((name) => join(root, "zig/zig-out/release", name))];
writeFileSync(
  join(directory, "SHA256SUMS"),
  released.map((path) => `${digestOf(path)}  ${basename(path)}\n`).join(""),
);
