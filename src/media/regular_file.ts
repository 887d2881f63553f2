/** This file tells files from everything else that FFmpeg opens. */
import { statSync } from "node:fs";

/** Whether an input is a file with an end, and not a device, a pipe or a URL. */
export function isRegularFile(input: string): boolean {
  try {
    return statSync(input.replace(/^file:(\/\/)?/, "")).isFile();
  } catch {
    return false; // no path, or not this process's to look at
  }
}
