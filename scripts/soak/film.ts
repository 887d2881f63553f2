// What the soak's camera shows.

import { join } from "node:path";
import { outputOf } from "../lib/process.ts";
import { avSync } from "../measure/av_sync.ts";
import { makeSyncFilm } from "../measure/sync_film.ts";

/** Seconds that a film is longer than the camera lives: who comes late must not see its end. */
const SPARE = 30;

export interface Film {
  path: string;
  hasSound: boolean;
  /** Milliseconds from flash to beep, where it has such: those of its recordings are compared with it. */
  calibration: number | undefined;
}

/** A film of flashes and beeps. @param life seconds that the camera lives */
export async function syncFilm(directory: string, life: number): Promise<Film> {
  const path = join(directory, "camera.mp4");
  await makeSyncFilm(path, life + SPARE);
  const { median } = await avSync(path);
  return { path, hasSound: true, calibration: median };
}

/** A file, again and again, so that it is longer than the camera lives; its sound where it is AAC, which the camera sends. */
export async function longFilm(directory: string, life: number, input: string): Promise<Film> {
  const path = join(directory, "camera.mp4");
  const asked = ["-v", "error", "-select_streams", "a:0", "-show_entries", "stream=codec_name"];
  const sound = (await outputOf("ffprobe", [...asked, "-of", "csv=p=0", input])).trim();
  const duration = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", input];
  const times = Math.ceil((life + SPARE) / Number(await outputOf("ffprobe", duration)));
  const hasSound = sound === "aac";
  await outputOf("ffmpeg", [
    ...["-v", "error", "-stream_loop", String(times - 1), "-i", input],
    ...["-map", "0:v:0", ...(hasSound ? ["-map", "0:a:0"] : []), "-c", "copy", path],
  ]);
  return { path, hasSound, calibration: undefined };
}
