// A camera whose film is published as far as a test says: every track of a file, without frames.

import { Publisher, type TrackOptions } from "../../mod.ts";
import { runtimeDirectory, uniqueKey } from "./ring.ts";
import { ffmpeg, type TrackPacket, type Tracks, tracksOf } from "./tracks.ts";

/** 40 s of 25 frames a second, a key frame each second, with AAC. */
export async function soundFilm(path: string): Promise<Tracks> {
  const made =
    "-f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=sample_rate=48000 -t 40 -c:v libx264 " +
    "-preset veryfast -bf 0 -g 25 -keyint_min 25 -sc_threshold 0 -c:a aac -shortest";
  await ffmpeg(...made.split(" "), path);
  return await tracksOf(path);
}

/** A camera's tracks, published as far as the test says. */
export class FilmedCamera implements Disposable {
  readonly publisher: Publisher;
  readonly #film: Tracks;
  readonly #packets: TrackPacket[];

  constructor(film: Tracks, slots = 1024) {
    this.#film = film;
    this.#packets = film.packets.toSorted((a, b) => Number(a.decodeTimestampNs - b.decodeTimestampNs));
    this.publisher = Publisher.create({
      key: uniqueKey(),
      frames: false,
      runtimeDirectory,
      tracks: film.tracks.map((
        { codecId, ...track },
      ) => ({ ...track, codec: codecId, slots } as TrackOptions)),
    });
  }

  /** Publishes what is decoded before so many seconds. */
  until(seconds: number): void {
    const end = BigInt(Math.round(seconds * 1e9));
    while (this.#packets.length > 0 && this.#packets[0]!.decodeTimestampNs < end) {
      const { track, data, type, timestampNs, decodeTimestampNs } = this.#packets.shift()!;
      this.publisher.tracks[track]!.write({ data, type, timestampNs, decodeTimestampNs });
    }
  }

  /** The picture's packets from one time to another, by decode times, in seconds. */
  pictures(from: number, to: number): number {
    const within = ({ track, decodeTimestampNs }: TrackPacket) =>
      track === 0 && decodeTimestampNs >= BigInt(Math.round(from * 1e9)) &&
      decodeTimestampNs < BigInt(Math.round(to * 1e9));
    return this.#film.packets.filter(within).length;
  }

  [Symbol.dispose](): void {
    this.publisher.close();
  }
}
