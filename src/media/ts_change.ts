/** This file finds where an MPEG-TS file says that its streams are others from there on: a PMT unlike the one before. */
import { Buffer } from "node:buffer";
import { type FileHandle, open } from "node:fs/promises";

const PACKET = 188;
const SYNC = 0x47;
/** Bytes read at a time. */
const CHUNK = PACKET * 2048;
/** How far before and behind a place a table is looked for: PAT and PMT come several times a second. */
const FARTHEST = 64 << 20;

/** Where a file's streams change, in bytes. */
export interface StreamChange {
  /** A PAT before the place from which was looked. */
  readonly from: number;
  /** Where the streams that were there end. */
  readonly end: number;
  /** A PAT from which the new streams can be read. */
  readonly next: number;
}

/**
 * The first change of streams behind a place in an MPEG-TS file with packets of 188 bytes; undefined where there is
 * none, or no such file.
 */
export async function findStreamChange(path: string, place: number): Promise<StreamChange | undefined> {
  await using file = await open(path);
  const from = await lastPatBefore(file, place);
  if (from === undefined) return undefined;
  const streams = new Map<number, string>();
  let programs = new Set<number>();
  let pat = from;
  for await (const { packet, at } of packets(file, from, from + FARTHEST)) {
    const pid = pidOf(packet);
    const section = sectionOf(packet);
    if (!section) continue;
    if (pid === 0) {
      programs = programsOf(section);
      pat = at;
    } else if (programs.has(pid)) {
      const known = streams.get(pid);
      const told = streamsOf(section);
      if (known !== undefined && known !== told) return { from, end: at, next: pat };
      streams.set(pid, told);
    }
  }
  return undefined;
}

async function lastPatBefore(file: FileHandle, place: number): Promise<number | undefined> {
  let end = Math.floor(place / PACKET) * PACKET + PACKET;
  const least = Math.max(0, end - FARTHEST);
  while (end > least) {
    const begin = Math.max(0, end - CHUNK);
    let found: number | undefined;
    for await (const { packet, at } of packets(file, begin, end)) {
      if (pidOf(packet) === 0 && sectionOf(packet)) found = at;
    }
    if (found !== undefined) return found;
    end = begin;
  }
  return undefined;
}

/** The packets of a part of a file; it ends where that is no MPEG-TS. */
async function* packets(
  file: FileHandle,
  from: number,
  end: number,
): AsyncGenerator<{ packet: Uint8Array; at: number }, void, void> {
  const chunk = Buffer.alloc(CHUNK);
  for (let at = from; at < end;) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK, end - at), at);
    if (bytesRead < PACKET) return;
    for (let offset = 0; offset + PACKET <= bytesRead; offset += PACKET) {
      if (chunk[offset] !== SYNC) return;
      yield { packet: chunk.subarray(offset, offset + PACKET), at: at + offset };
    }
    at += bytesRead - bytesRead % PACKET;
  }
}

function pidOf(packet: Uint8Array): number {
  return (packet[1]! & 0x1f) << 8 | packet[2]!;
}

/** A table's section that begins and ends in a packet, without its CRC (ISO/IEC 13818-1, 2.4.4). */
function sectionOf(packet: Uint8Array): Uint8Array | undefined {
  const [, flags = 0, , control = 0, adaptation = 0] = packet;
  if ((flags & 0x40) === 0 || (control & 0x10) === 0) return undefined;
  const pointer = (control & 0x20) === 0 ? 4 : 5 + adaptation;
  const begin = pointer + 1 + (packet[pointer] ?? PACKET);
  const length = ((packet[begin + 1] ?? 0) & 0x0f) << 8 | (packet[begin + 2] ?? 0);
  const end = begin + 3 + length - 4;
  return begin + 12 <= end && end <= PACKET ? packet.subarray(begin, end) : undefined;
}

/** The PIDs of a PAT's PMTs. */
function programsOf(pat: Uint8Array): Set<number> {
  const pids = new Set<number>();
  for (let at = 8; at + 4 <= pat.length; at += 4) {
    const isProgram = (pat[at]! << 8 | pat[at + 1]!) !== 0;
    if (isProgram) pids.add((pat[at + 2]! & 0x1f) << 8 | pat[at + 3]!);
  }
  return pids;
}

/** The types and PIDs of a PMT's streams, in a form that can be compared. */
function streamsOf(pmt: Uint8Array): string {
  const streams: string[] = [];
  let at = 12 + ((pmt[10]! & 0x0f) << 8 | pmt[11]!);
  while (at + 5 <= pmt.length) {
    streams.push(`${pmt[at]}@${(pmt[at + 1]! & 0x1f) << 8 | pmt[at + 2]!}`);
    at += 5 + ((pmt[at + 3]! & 0x0f) << 8 | pmt[at + 4]!);
  }
  return streams.sort().join(" ");
}
