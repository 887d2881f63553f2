// When pictures were taken, from what is known of their packets.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import * as av from "node-av";
import { describe, expect, test } from "vitest";
import { openMedia } from "../../media.ts";
import { Child } from "../../scripts/lib/process.ts";
import { CaptureTimes } from "../../src/media/capture_times.ts";
import { CLIP, directory, hasFfmpeg } from "../support/media.ts";

/** A packet; with a reference time in µs where one is given. */
function packet(microseconds?: bigint): av.Packet {
  const made = new av.Packet();
  made.alloc();
  if (microseconds === undefined) return made;
  const reference = Buffer.alloc(16);
  reference.writeBigInt64LE(microseconds);
  made.addSideData(av.AV_PKT_DATA_PRFT, reference);
  return made;
}

const YEAR_2025 = 1_735_689_600_000_000n;
const MS = 1_000_000n;

describe("the time of a picture", () => {
  test("is what its own packet says, whatever order they are decoded in", () => {
    const times = new CaptureTimes(av, true);
    for (const ms of [0n, 80n, 40n]) times.packet(packet(YEAR_2025 + ms * 1001n), ms * MS);
    for (const ms of [0n, 40n, 80n]) expect(times.frame(ms * MS)).toBe((YEAR_2025 + ms * 1001n) * 1000n);
  });

  test("goes on by the camera's clock where a packet says nothing", () => {
    const times = new CaptureTimes(av, true, () => 1);
    times.packet(packet(YEAR_2025), 0n);
    times.packet(packet(), 40n * MS);
    expect(times.frame(40n * MS)).toBe(YEAR_2025 * 1000n + 40n * MS);
  });

  test("is not known where a file says nothing, nor where a sender has no clock", () => {
    for (const reference of [undefined, -2_208_988_800_000_000n, 0n, 5_000_000n]) {
      const times = new CaptureTimes(av, false);
      times.packet(packet(reference), 0n);
      expect(times.frame(0n)).toBe(null);
    }
  });

  test("is when a live packet came, without what delayed it", () => {
    let now = 1_735_689_600_000;
    const start = BigInt(now) * MS;
    const times = new CaptureTimes(av, true, () => now);
    // Looked at for 300 ms, then read at once; the next ones come one by one, some late.
    const delays = [300, 200, 100, 0, 0, 700, 30, 0];
    const taken = delays.map((delay, index) => {
      now = Number(start / MS) + index * 100 + delay;
      times.packet(packet(), BigInt(index) * 100n * MS);
      return times.frame(BigInt(index) * 100n * MS)! - start - BigInt(index) * 100n * MS;
    });
    expect(taken.slice(0, 4)).toEqual([300n * MS, 200n * MS, 100n * MS, 0n]);
    // A late one leaves the time where it is, but for the drift that is allowed for.
    for (const off of taken.slice(4)) {
      expect(Number(off)).toBeGreaterThanOrEqual(0);
      expect(Number(off)).toBeLessThan(1e6);
    }
    // The source's time has jumped.
    now += 5000;
    times.packet(packet(), 800n * MS);
    expect(times.frame(800n * MS)).toBe(BigInt(now) * MS);
  });

  test("follows a camera whose clock is slow", () => {
    let now = 1_735_689_600_000;
    const times = new CaptureTimes(av, true, () => now);
    let off = 0;
    for (let second = 0; second <= 10_000; second++) {
      now = 1_735_689_600_000 + second * 1000 + Math.floor(second / 10); // 100 ppm
      times.packet(packet(), BigInt(second) * 1000n * MS);
      off = Number(times.frame(BigInt(second) * 1000n * MS)! / MS) - now;
    }
    expect(Math.abs(off)).toBeLessThanOrEqual(2);
  });

  test("is kept for so many pictures only", () => {
    const times = new CaptureTimes(av, true);
    for (let index = 0n; index < 1000n; index++) times.packet(packet(YEAR_2025 + index), index * MS);
    // Forgotten, and worked out from the newest.
    expect(times.frame(0n)).toBe((YEAR_2025 + 999n) * 1000n - 999n * MS);
    expect(times.frame(990n * MS)).toBe((YEAR_2025 + 990n) * 1000n);
  });
});

test("a file's pictures have none", async () => {
  await using media = await openMedia(CLIP);
  for await (const event of media) {
    if (event.kind !== "frame") continue;
    expect(event.captureTimeNs).toBe(null);
    break;
  }
});

test.skipIf(!hasFfmpeg())("an RTP stream's pictures have the times of its sender's reports", async () => {
  const sdp = join(directory, "stream.sdp");
  const port = await freePort();
  writeFileSync(
    sdp,
    [
      ...["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0"],
      ...[`m=video ${port} RTP/AVP 96`, "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1", ""],
    ].join("\r\n"),
  );
  // Its pictures go by four times as fast as the clock of its reports: they are taken after they have arrived.
  const sender = new Child([
    ...[
      "ffmpeg",
      "-v",
      "error",
      "-readrate",
      "4",
      "-f",
      "lavfi",
      "-i",
      "testsrc2=s=64x48:r=10",
      "-c:v",
      "libx264",
    ],
    ...["-pix_fmt", "yuv420p", "-g", "5", "-bf", "0", "-tune", "zerolatency", "-t", "40"],
    ...["-f", "rtp", `rtp://127.0.0.1:${port}`],
  ]);
  try {
    await using media = await openMedia(sdp, {
      options: { protocol_whitelist: "file,udp,rtp" },
      timeout: 20_000,
    });
    const taken: { timestampNs: bigint; captureTimeNs: bigint | null }[] = [];
    for await (const event of media) {
      if (event.kind !== "frame") continue;
      taken.push(event);
      // The first report may have been sent before anybody listened; the next one comes 5 s later.
      if (taken.length >= 240) break;
    }
    const last = taken.slice(-10);
    for (const [index, { timestampNs, captureTimeNs }] of last.entries()) {
      const ahead = Number(captureTimeNs! / MS) / 1000 - Date.now() / 1000;
      expect(ahead).toBeGreaterThan(5);
      expect(ahead).toBeLessThan(24);
      if (index === 0) continue;
      const before = last[index - 1]!;
      expect(captureTimeNs! - before.captureTimeNs!).toBe(timestampNs - before.timestampNs);
    }
  } finally {
    sender.kill("SIGKILL");
    await sender.ended;
  }
});

/** Of a pair: RTP is at an even one. */
async function freePort(): Promise<number> {
  for (;;) {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address();
    socket.close();
    await once(socket, "close");
    if (port % 2 === 0) return port;
  }
}
