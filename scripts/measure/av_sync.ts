// Whether picture and sound of a recording belong together, measured: by the flashes and beeps of `makeSyncFilm`, as the
// program ffmpeg decodes them, with the times that are in the file.

import { outputOf } from "../lib/process.ts";
import { BEEP_LEVEL, FLASH_LUMA, FRAME, LENGTHS, PERIOD } from "./sync_film.ts";

/** Samples a second at which sound is looked at, and how many at a time: a millisecond. */
const RATE = 48_000;
const BLOCK = 48;
/** Seconds between two looks, above which something is missing between them. */
const HOLE = { picture: 1.5 * FRAME, sound: 0.005 };
/** Seconds around a flash in which nothing may be missing: the longest one and as much again. */
const MARGIN = { before: 2 * FRAME, after: 2 * LENGTHS * FRAME };
/** Seconds within which there is one flash of its length. */
const REACH = (LENGTHS / 2) * PERIOD;

/** How far flashes and beeps of a recording are apart. */
export interface AvSync {
  /** Of each flash whose surroundings are all there, in milliseconds: above 0 where the beep comes after it. */
  distances: number[];
  /** Seconds at which there was a flash, and no beep of its length within two and a half seconds. */
  alone: number[];
  /** Flashes that nothing can be said of: the recording begins or ends there, or has a hole. */
  atEdges: number;
  /** The median of the distances; NaN where there is none. */
  median: number;
  /** The distance that is farthest from 0; NaN where there is none. */
  worst: number;
}

/**
 * Measures a recording of `makeSyncFilm`'s film.
 *
 * @param calibration milliseconds that are taken off each distance: the median of the film itself
 */
export async function avSync(path: string, calibration = 0): Promise<AvSync> {
  const [picture, sound] = await Promise.all([pictureOf(path), soundOf(path)]);
  const distances: number[] = [];
  const alone: number[] = [];
  let atEdges = 0;
  for (const flash of picture.pulses()) {
    const [from, to] = [flash.at - MARGIN.before, flash.at + MARGIN.after];
    if (!picture.covers(from, to) || !sound.covers(from, to)) {
      atEdges++;
      continue;
    }
    const beeps = sound.pulses().filter((beep) => beep.frames === flash.frames);
    const apart = beeps.map((beep) => beep.at - flash.at).sort((one, other) =>
      Math.abs(one) - Math.abs(other)
    );
    const nearest = apart[0] ?? Infinity;
    if (Math.abs(nearest) < REACH) distances.push(nearest * 1000 - calibration);
    else alone.push(flash.at);
  }
  return summary(distances, alone, atEdges);
}

/** What was measured of several recordings; undefined of none. */
export function together(measured: readonly AvSync[]): AvSync | undefined {
  if (measured.length === 0) return undefined;
  return summary(
    measured.flatMap(({ distances }) => distances),
    measured.flatMap(({ alone }) => alone),
    measured.reduce((sum, { atEdges }) => sum + atEdges, 0),
  );
}

function summary(distances: number[], alone: number[], atEdges: number): AvSync {
  const sorted = distances.toSorted((one, other) => one - other);
  const worst = distances.toSorted((one, other) => Math.abs(other) - Math.abs(one))[0] ?? NaN;
  return { distances, alone, atEdges, median: sorted[sorted.length >> 1] ?? NaN, worst };
}

/** A flash or a beep. */
interface Pulse {
  /** When it begins, in seconds. */
  at: number;
  /** How long it is. */
  frames: number;
}

/** What is on or off, looked at again and again. */
class Signal {
  readonly #looks: readonly { at: number; on: boolean }[];
  readonly #hole: number;
  #pulses: Pulse[] | undefined;

  constructor(looks: readonly { at: number; on: boolean }[], hole: number) {
    this.#looks = looks;
    this.#hole = hole;
  }

  pulses(): readonly Pulse[] {
    return this.#pulses ??= [...this.#findPulses()];
  }

  *#findPulses(): Generator<Pulse> {
    let since: number | undefined;
    for (const { at, on } of this.#looks) {
      if (on) since ??= at;
      else if (since !== undefined) {
        yield { at: since, frames: Math.round((at - since) / FRAME) };
        since = undefined;
      }
    }
  }

  /** Whether nothing is missing between two times, in seconds. */
  covers(from: number, to: number): boolean {
    const begin = this.#looks.findLastIndex(({ at }) => at <= from);
    const end = this.#looks.findIndex(({ at }) => at >= to);
    if (begin < 0 || end < 0) return false;
    const looks = this.#looks.slice(begin, end + 1);
    return looks.every(({ at }, index) => index === 0 || Math.abs(at - looks[index - 1]!.at) < this.#hole);
  }
}

async function pictureOf(path: string): Promise<Signal> {
  const filters = ["signalstats", printing("metadata", "lavfi.signalstats.YAVG")];
  const options = ["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", filters.join()];
  const looks = await looksAt(path, [...options, "-map", "0:a:0?", "-c:a", "copy"]);
  return new Signal(looks.map(({ at, value }) => ({ at, on: value > FLASH_LUMA })), HOLE.picture);
}

async function soundOf(path: string): Promise<Signal> {
  const level = "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level";
  const filters = [
    `aresample=${RATE}`,
    `asetnsamples=${BLOCK}:p=0`,
    level,
    printing("ametadata", "lavfi.astats.Overall.RMS_level"),
  ];
  const options = ["-map", "0:a:0", "-af", filters.join()];
  const looks = await looksAt(path, [...options, "-map", "0:v:0?", "-c:v", "copy"]);
  return new Signal(looks.map(({ at, value }) => ({ at, on: value > BEEP_LEVEL })), HOLE.sound);
}

const printing = (filter: string, key: string) => `${filter}=mode=print:key=${key}:file=-`;

/**
 * What ffmpeg's filters print of a stream: a line with the time, a line with the value. The other stream is to be read too:
 * of an MPEG-TS the first time is 0, whatever ffmpeg is told, but it is the first of all streams that are.
 */
async function looksAt(path: string, options: readonly string[]): Promise<{ at: number; value: number }[]> {
  // Without -copyts a stream's times are counted from where the file begins.
  const text = await outputOf("ffmpeg", [
    ...["-v", "error", "-nostdin", "-copyts", "-i", path],
    ...options,
    ...["-f", "null", "-"],
  ]);
  // Silence is -inf, which Number does not know.
  return [...text.matchAll(/pts_time:(\S+)\s+\S+=(\S+)/g)]
    .map(([, at, value]) => ({ at: Number(at), value: value === "-inf" ? -Infinity : Number(value) }));
}
