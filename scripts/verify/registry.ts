// A registry of one package on this machine: npm's protocol for a tarball, JSR's for a folder of sources.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { outputOf } from "../lib/process.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Record<string, string>;
}

interface Answer {
  readonly type: string;
  readonly body: string | Uint8Array;
}

/** Answers by path; undefined where it has none. */
export type Source = (path: string, origin: string) => Promise<Answer | undefined> | Answer | undefined;

const json = (value: unknown): Answer => ({ type: "application/json", body: JSON.stringify(value) });
const digest = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes);

/** An npm package; what it depends on comes from the registry that npm is set to. */
export function npmPackage(tarball: string, manifest: Manifest): Source {
  const bytes = readFileSync(tarball);
  const file = `/${manifest.name}/-/${manifest.name}-${manifest.version}.tgz`;
  return async (path, origin) => {
    if (path === file) return { type: "application/octet-stream", body: bytes };
    if (path === `/${manifest.name}`) {
      const dist = {
        tarball: `${origin}${file}`,
        shasum: digest("sha1", bytes).digest("hex"),
        integrity: `sha512-${digest("sha512", bytes).digest("base64")}`,
      };
      return json({
        name: manifest.name,
        "dist-tags": { latest: manifest.version },
        versions: { [manifest.version]: { ...manifest, dist } },
      });
    }
    return await othersPackages(path);
  };
}

/** Packages of the registry that npm is set to. */
export async function othersPackages(path: string): Promise<Answer | undefined> {
  const upstream = (await outputOf("npm", ["config", "get", "registry"])).trim();
  const response = await fetch(new URL(path.slice(1), upstream));
  if (!response.ok) return undefined;
  const type = response.headers.get("content-type") ?? "application/json";
  return { type, body: new Uint8Array(await response.arrayBuffer()) };
}

/** A JSR package, as `deno publish` would send the folder: bare specifiers are those of its `imports`. */
export function jsrPackage(folder: string): Source {
  const { name, version, exports, imports } = JSON.parse(readFileSync(join(folder, "deno.json"), "utf8"));
  const files = new Map<string, Uint8Array>(
    [
      ...Object.values<string>(exports).filter((path) => !path.startsWith("./src/")).map((path) =>
        path.slice(2)
      ),
      "deno.json",
      ...readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" }).map((path) => `src/${path}`),
    ]
      .filter((path) => /\.(ts|json)$/.test(path))
      .map((path) => {
        const text = readFileSync(join(folder, path), "utf8").replace(
          /(from |import\()"([^".][^":]*)"/g,
          (whole, before, specifier) =>
            imports[specifier] === undefined ? whole : `${before}"${imports[specifier]}"`,
        );
        return [`/${path}`, new TextEncoder().encode(text)] as const;
      }),
  );
  return (path) => {
    if (path === `/${name}/meta.json`) return json({ versions: { [version]: {} }, latest: version });
    if (path === `/${name}/${version}_meta.json`) {
      const manifest = Object.fromEntries(
        [...files].map(([file, bytes]) => [file, {
          size: bytes.length,
          checksum: `sha256-${digest("sha256", bytes).digest("hex")}`,
        }]),
      );
      return json({ exports, manifest });
    }
    const bytes = files.get(path.replace(`/${name}/${version}`, ""));
    return bytes && { type: path.endsWith(".json") ? "application/json" : "text/typescript", body: bytes };
  };
}

/** Serves until it is disposed of. */
export async function serve(source: Source): Promise<{ readonly origin: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    Promise.resolve(source(path, origin)).then((answer) => {
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": answer?.type ?? "text/plain" });
      response.end(answer?.body ?? `no ${path} here`);
    }, (error) => response.writeHead(502).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
