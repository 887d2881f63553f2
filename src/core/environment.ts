// What the process's surroundings say and allow.

import process from "node:process";

/** An environment variable, undefined where it is not set or may not be read. */
export function environment(name: string): string | undefined {
  try {
    return process.env[name] || undefined;
  } catch {
    return undefined; // Deno without --allow-env
  }
}

/** Whether the runtime's own permissions, not the system's, forbade something. */
export function isForbidden(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "NotCapable" || code === "ERR_ACCESS_DENIED";
}
