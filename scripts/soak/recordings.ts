import { execFileSync } from "node:child_process";

/** A recording's packets, counted by ffprobe, and what is wrong with it. */
export function playable(path: string): { path: string; packets: number; error?: string } {
  const options = [
    "-v",
    "error",
    "-count_packets",
    "-show_entries",
    "stream=nb_read_packets",
    "-of",
    "csv=p=0",
  ];
  try {
    const output = execFileSync("ffprobe", [...options, path], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    const packets = Number(output.trim());
    return packets > 0 ? { path, packets } : { path, packets: 0, error: "no packets" };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return { path, packets: 0, error: (stderr || message).trim() };
  }
}
