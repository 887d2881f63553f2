import { outputOfSync } from "../lib/process.ts";

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
    const packets = Number(new TextDecoder().decode(outputOfSync("ffprobe", [...options, path])));
    return packets > 0 ? { path, packets } : { path, packets: 0, error: "no packets" };
  } catch (error) {
    return { path, packets: 0, error: (error as Error).message.trim() };
  }
}
