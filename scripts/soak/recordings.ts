// What recordings have in them, as FFmpeg's own programs read it.

import { outputOf } from "../lib/process.ts";
import { type AvSync, avSync } from "../measure/av_sync.ts";
import type { Film } from "./film.ts";

/** Seconds that picture and sound may begin or end apart. */
const APART = 1;
/** Milliseconds that a beep may be from its flash. */
const SYNC_LIMIT = 20;

/** The packets of a file's picture or sound. */
export interface Part {
  packets: number;
  /** Seconds: when the first one begins and the last one ends. */
  begin: number;
  end: number;
}

export interface Recording {
  path: string;
  picture: Part;
  sound: Part;
  /** Where the film shows it. */
  sync: AvSync | undefined;
  problems: string[];
}

/** Looks at a recording of a film: what it has, and what is wrong with it. */
export async function examine(path: string, film: Film): Promise<Recording> {
  const nothing: Part = { packets: 0, begin: NaN, end: NaN };
  try {
    const [picture, sound] = await partsOf(path);
    const isSynced = film.calibration !== undefined && picture.packets > 0 && sound.packets > 0;
    const sync = isSynced ? await avSync(path, film.calibration) : undefined;
    const problems = [...problemsOfParts(picture, sound, film), ...(sync ? problemsOfSync(sync) : [])];
    return { path, picture, sound, sync, problems: problems.map((problem) => `${path}: ${problem}`) };
  } catch (error) {
    const problems = [`${path} does not play: ${(error as Error).message.trim()}`];
    return { path, picture: nothing, sound: nothing, sync: undefined, problems };
  }
}

/** Of the picture and of the sound. */
async function partsOf(path: string): Promise<[Part, Part]> {
  const entries = ["-show_entries", "packet=codec_type,pts_time,duration_time", "-of", "csv=p=0"];
  const lines = (await outputOf("ffprobe", ["-v", "error", ...entries, path])).split("\n");
  const partOf = (kind: string): Part => {
    const packets = lines.map((line) => line.split(",")).filter(([type]) => type === kind);
    const times = packets.map(([, time]) => Number(time));
    const ends = packets.map(([, time, duration]) => Number(time) + (Number(duration) || 0));
    return { packets: packets.length, begin: Math.min(...times), end: Math.max(...ends) };
  };
  return [partOf("video"), partOf("audio")];
}

function problemsOfParts(picture: Part, sound: Part, film: Film): string[] {
  if (picture.packets === 0) return ["no picture"];
  if (!film.hasSound) return [];
  // What ends right behind its first frame may have no sound yet.
  if (sound.packets === 0) return picture.end - picture.begin < APART ? [] : ["no sound"];
  return (["begin", "end"] as const)
    .filter((side) => !(Math.abs(picture[side] - sound[side]) <= APART))
    .map((side) =>
      `the picture ${side}s at ${picture[side].toFixed(1)} s, the sound at ${sound[side].toFixed(1)} s`
    );
}

function problemsOfSync({ distances, alone, atEdges, worst }: AvSync): string[] {
  const flashes = distances.length + alone.length + atEdges;
  const problems = [
    Math.abs(worst) > SYNC_LIMIT && `a beep is ${worst.toFixed(1)} ms from its flash`,
    alone.length > 0 && `no beep to the flashes at ${alone.map((at) => at.toFixed(2)).join(", ")} s`,
    // The first and the last one, and those where the camera died.
    atEdges > Math.max(2, flashes / 2) &&
    `${atEdges} of ${flashes} flashes have not all of picture and sound around them`,
  ];
  return problems.filter((problem) => problem !== false);
}
