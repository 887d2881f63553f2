// What every frame and packet of these tests holds: a function of who published it and of its sequence.

import { Buffer } from "node:buffer";
import type { Frame, Packet, WritableFrame } from "../../../mod.ts";
import { pixelsOf } from "../memory.ts";

/** The word that fills a plane: differs between publishers, sequences and planes. */
function word(seed: number, sequence: number, plane: number): number {
  return Math.imul(seed * 4 + plane + 1, 0x9e37_79b1) ^ Math.imul(sequence, 0x85eb_ca6b);
}

function words(bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** Fills all planes; on host memory padding included. */
export function fill(frame: WritableFrame, seed: number, sequence: number): void {
  if (frame.memory === "cuda") return frame.write(expectedPixels(frame.read().length, seed, sequence));
  for (const [index, plane] of frame.planes.entries()) words(plane.data).fill(word(seed, sequence, index));
}

/** What goes with a frame, so that whoever gets it can tell what it must hold. */
export function seedBytes(seed: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(seed).buffer);
}

export function seedOf(frame: Frame): number {
  return new DataView(frame.metadata.buffer).getUint32(0, true);
}

let expected = new Uint8Array(0);

/** What is in a frame on a GPU, without padding: one word over and over. */
function expectedPixels(size: number, seed: number, sequence: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(size / 4) * 4);
  words(whole).fill(word(seed, sequence, 0));
  return whole.subarray(0, size);
}

/** Whether every byte of every plane is what its publisher wrote for this sequence. */
export async function isWhole(frame: Frame): Promise<boolean> {
  if (frame.metadata.length !== 4) return false;
  const seed = seedOf(frame);
  if (frame.memory === "cuda") {
    const pixels = await pixelsOf(frame);
    return Buffer.compare(expectedPixels(pixels.length, seed, Number(frame.sequence)), pixels) === 0;
  }
  return frame.planes.every((plane, index) => {
    if (expected.length < plane.data.length) expected = new Uint8Array(plane.data.length);
    const reference = expected.subarray(0, plane.data.length);
    words(reference).fill(word(seed, Number(frame.sequence), index));
    return Buffer.compare(reference, plane.data) === 0;
  });
}

/** The payload of a packet: of varying size, its first word the seed. */
export function packetData(seed: number, sequence: number): Uint8Array {
  const payload = new Uint32Array(2 + (sequence * 7919) % 997).fill(word(seed, sequence, 3));
  payload[0] = seed;
  return new Uint8Array(payload.buffer);
}

export function isWholePacket(packet: Packet): boolean {
  const seed = new DataView(packet.data.buffer).getUint32(0, true);
  return Buffer.compare(packetData(seed, Number(packet.sequence)), packet.data) === 0;
}
