/** Reading a key's packets, for the commands that pass them on. */
import { CuframesError } from "../errors.ts";
import type { Packet, PacketRingReader } from "../packet_ring.ts";

/** The packets until the publisher is gone; what was lost is in the reader's counters. */
export async function* packetsOf(
  reader: PacketRingReader,
  signal: AbortSignal,
): AsyncGenerator<Packet, void, void> {
  for (;;) {
    try {
      yield await reader.next({ signal });
    } catch (error) {
      if (!(error instanceof CuframesError)) throw error;
      if (error.code === "DISCONNECTED") return;
      if (error.code !== "PACKET_OVERRUN") throw error;
    }
  }
}

/** The codec parameters; empty where the publisher has set none. */
export function codecParametersOf(reader: PacketRingReader): Uint8Array {
  try {
    return reader.codecParameters;
  } catch (error) {
    if (error instanceof CuframesError && error.code === "NO_CODEC_PARAMETERS") return new Uint8Array(0);
    throw error;
  }
}
