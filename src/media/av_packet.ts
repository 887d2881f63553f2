/** This file makes FFmpeg's packets, and takes their payload. */
import type { Packet } from "node-av";
import { Buffer } from "node:buffer";
import type { NodeAv } from "./node_av.ts";

/** An allocated, empty packet. */
export function newPacket(av: NodeAv): Packet {
  const packet = new av.Packet();
  packet.alloc();
  return packet;
}

/** A copy of a packet's payload: the native memory behind it does not outlive the packet. */
export function payload(packet: Packet): Uint8Array {
  return new Uint8Array(packet.data ?? Buffer.alloc(0));
}
