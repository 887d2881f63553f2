// Packet rings for tests, with packets that can be told from one another.

import { expect } from "vitest";
import type {
  Packet,
  PacketInit,
  PacketRingOptions,
  PacketRingReader,
  PacketRingWriter,
  Publisher,
  Subscriber,
} from "../../mod.ts";
import { createPublisher, subscribe } from "./ring.ts";

/** Parameter sets of H.264, High profile, level 3.1. */
export const avcHigh31: Uint8Array<ArrayBuffer> = Uint8Array.of(
  0,
  0,
  0,
  1,
  0x67,
  0x64,
  0x00,
  0x1f,
  0xac,
  0xd9,
  0x40,
  0x50,
  0x05,
  0xbb,
  0,
  0,
  1,
  0x68,
  0xeb,
);

/** Content that tells one packet from another, byte by byte. */
export function payload(sequence: number, size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, index) => (sequence * 151 + index * 29 + (index >> 6)) & 0xff);
}

/** Writes packet number `sequence` of `size` bytes. */
export function write(
  ring: PacketRingWriter,
  sequence: number,
  size: number,
  init: Partial<PacketInit> = {},
): void {
  const packet = { data: payload(sequence, size), type: "delta", timestamp: sequence, ...init } as const;
  expect(ring.write(packet)).toBe(BigInt(sequence));
}

/** What `open` gives. */
export interface OpenRing extends Disposable {
  readonly publisher: Publisher;
  readonly ring: PacketRingWriter;
  readonly subscriber: Subscriber;
  readonly reader: PacketRingReader;
}

/** A publisher with a packet ring, and a reader of it. */
export async function open(options: Partial<PacketRingOptions> = {}): Promise<OpenRing> {
  const publisher = createPublisher();
  const ring = publisher.enablePackets({ codec: "h264", ...options });
  const subscriber = await subscribe(publisher, { frames: false });
  const reader = subscriber.packets();
  return {
    publisher,
    ring,
    subscriber,
    reader,
    [Symbol.dispose]() {
      subscriber.close();
      publisher.close();
    },
  };
}

/** Everything that has been written and not read. */
export function drain(reader: PacketRingReader): Packet[] {
  const packets: Packet[] = [];
  while (reader.stats().lag > 0) packets.push(reader.nextSync({ timeout: 0 }));
  return packets;
}
