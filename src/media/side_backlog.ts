/** This file keeps sound and data that come before the first key packet of the video, which is waited for. */
import type { MediaPacket } from "./media_event.ts";

/** Packets that are kept at the most: some seconds of sound. */
const MOST_KEPT = 512;

/** Packets beside a video that has not begun. */
export class SideBacklog {
  #kept: MediaPacket[] = [];
  /** Whether packets of the video were left out, which these belonged to. */
  #skipped = false;

  /** Keeps a packet; the oldest goes where there are too many. */
  keep(packet: MediaPacket): void {
    this.#kept.push(packet);
    if (this.#kept.length > MOST_KEPT) this.#kept.shift();
  }

  /** A packet of the video was left out. */
  skip(): void {
    this.#skipped = true;
  }

  /** Those that belong to a video that begins with `key`, each once. */
  take(key: MediaPacket): MediaPacket[] {
    const kept = this.#kept;
    this.#kept = [];
    return this.#skipped ? kept.filter(({ timestampNs }) => timestampNs >= key.timestampNs) : kept;
  }
}
