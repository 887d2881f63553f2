/** This file finds out whether it is a URL's host that cannot be found: FFmpeg says no more than that it failed. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { setTimeout } from "node:timers";
import { CuframesError } from "../core/mod.ts";

/** How long the name service may take, in ms. FFmpeg has asked it just before. */
const LOOKUP_MS = 5000;

/** A name without an address, and a name service that fails (getaddrinfo(3)). */
const UNRESOLVED = /^(ENOTFOUND|ENODATA|EAI_\w+|ESERVFAIL|ETIMEOUT|ECONNREFUSED)$/;

/** The host of a URL that has lost its credentials, without port and brackets; undefined where it has none. */
export function hostOf(url: string): string | undefined {
  const [, bracketed, plain] = /^[a-z][a-z0-9+.-]*:\/\/(?:\[([^\]]+)\]|([^/?#:]+))/i.exec(url) ?? [];
  return bracketed ?? plain;
}

/**
 * Fails where a URL's host has no address. Other failures are the caller's to tell.
 *
 * @param url without credentials
 * @throws {CuframesError} `IO`
 */
export async function requireHost(url: string): Promise<void> {
  const host = hostOf(url);
  if (host === undefined || isIP(host.replace(/%.*/, "")) !== 0) return;
  const reason = await Promise.race([unresolved(host), late()]);
  if (reason === undefined) return;
  throw new CuframesError(
    "IO",
    `opening ${url}: cannot resolve the host ${host} (${reason}): look at its name, and at this machine's name service`,
  );
}

/** Why a host has no address, by its error's name. */
async function unresolved(host: string): Promise<string | undefined> {
  try {
    await lookup(host);
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    return UNRESOLVED.test(code) ? code : undefined; // else it may not be asked, as in Deno without --allow-net
  }
}

function late(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, LOOKUP_MS).unref());
}
