// What tests do to MPEG-TS files: the times in their PES headers are set to others.

const TS = 188;
const WRAP = 1n << 33n;

/** A PES header's times, in ticks of 90 kHz; without a decode time it is the presentation time. */
export interface PesTimes {
  readonly pts: bigint;
  readonly dts: bigint | undefined;
}

/**
 * A copy whose packets on `pid` have the times that `change` says, as a 33-bit counter has them.
 *
 * @param change is told of each PES packet's number, from 0 on, and its times
 */
export function retimed(
  bytes: Uint8Array,
  change: (index: number, times: PesTimes) => PesTimes,
  pid = 0x100,
): Uint8Array {
  const copy = bytes.slice();
  let index = 0;
  for (let at = 0; at + TS <= copy.length; at += TS) {
    const packet = copy.subarray(at, at + TS);
    const isStart = (packet[1]! & 0x40) !== 0 && ((packet[1]! & 0x1f) << 8 | packet[2]!) === pid;
    if (!isStart) continue;
    const pes = packet.subarray((packet[3]! & 0x20) === 0 ? 4 : 5 + packet[4]!);
    const flags = pes[7]! >> 6;
    if (flags < 2) continue;
    const pts = readTime(pes, 9);
    const changed = change(index++, { pts, dts: flags === 3 ? readTime(pes, 14) : undefined });
    writeTime(pes, 9, changed.pts);
    if (flags === 3) writeTime(pes, 14, changed.dts!);
  }
  return copy;
}

/** All times on `pid` moved by so many seconds from packet `from` on, up to before packet `to`. */
export function shifted(
  bytes: Uint8Array,
  seconds: number,
  from = 0,
  to: number = Infinity,
  pid = 0x100,
): Uint8Array {
  const ticks = BigInt(Math.round(seconds * 90_000));
  return retimed(bytes, (index, { pts, dts }) => {
    if (index < from || index >= to) return { pts, dts };
    return { pts: pts + ticks, dts: dts === undefined ? undefined : dts + ticks };
  }, pid);
}

function readTime(bytes: Uint8Array, at: number): bigint {
  const [a, b, c, d, e] = [0, 1, 2, 3, 4].map((offset) => BigInt(bytes[at + offset]!));
  return (a! >> 1n & 7n) << 30n | b! << 22n | (c! >> 1n) << 15n | d! << 7n | e! >> 1n;
}

function writeTime(bytes: Uint8Array, at: number, time: bigint): void {
  time = ((time % WRAP) + WRAP) % WRAP;
  bytes[at] = bytes[at]! & 0xf0 | Number(time >> 30n) << 1 | 1;
  bytes[at + 1] = Number(time >> 22n & 0xffn);
  bytes[at + 2] = Number(time >> 15n & 0x7fn) << 1 | 1;
  bytes[at + 3] = Number(time >> 7n & 0xffn);
  bytes[at + 4] = Number(time & 0x7fn) << 1 | 1;
}
