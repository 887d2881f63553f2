/** This file reads a key's packets for the commands that pass them on. */
import { CuframesError, isCuframesError } from "../core/mod.ts";
import type { Subscriber } from "../frames/mod.ts";
import type { AllTracks, TrackPacket } from "../media/mod.ts";
import type { Packet, PacketRingReader } from "../packets/mod.ts";

/** How long a publisher may be without a packet, in ms: its camera may be away. */
const FIRST_PACKET_MS = 10_000;

/**
 * The packets until the publisher is gone; what was lost is in the reader's counters.
 *
 * @param waitMs how long the first packet may take, when that is more than 10 s
 * @throws {CuframesError} `TIMEOUT`: there was none; `NO_PACKET_RING`: the publisher has frames only
 */
export async function* packetsOf(
  key: string,
  reader: PacketRingReader,
  waitMs: number,
  signal: AbortSignal,
): AsyncGenerator<Packet, void, void> {
  const timeout = Math.max(waitMs, FIRST_PACKET_MS);
  try {
    for await (const packet of reader.values({ signal, timeout })) {
      yield packet;
      break;
    }
  } catch (error) {
    throw isCuframesError(error, "TIMEOUT") && hasNone(reader) ? withoutPackets(key) : error;
  }
  yield* reader.values({ signal });
}

/** As {@linkcode packetsOf}, of every track. */
export async function* trackPacketsOf(
  camera: Subscriber,
  tracks: AllTracks,
  waitMs: number,
  signal: AbortSignal,
): AsyncGenerator<TrackPacket, void, void> {
  const timeout = Math.max(waitMs, FIRST_PACKET_MS);
  try {
    for await (const packet of tracks.values({ signal, timeout })) {
      yield packet;
      break;
    }
  } catch (error) {
    const hasNone = isCuframesError(error, "TIMEOUT") && camera.tracks.length === 0;
    throw hasNone ? withoutPackets(camera.key) : error;
  }
  yield* tracks.values({ signal });
}

/** Whether the publisher has no packets: then there is nothing to wait for. */
function hasNone(reader: PacketRingReader): boolean {
  try {
    void reader.codecId;
    return false;
  } catch (error) {
    if (isCuframesError(error, "NO_PACKET_RING")) return true;
    throw error;
  }
}

function withoutPackets(key: string): CuframesError {
  return new CuframesError(
    "NO_PACKET_RING",
    `${key} is published without packets: start its source without --no-packets`,
  );
}
