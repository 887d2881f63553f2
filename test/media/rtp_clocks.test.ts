// RTP's tracks each count from anywhere: what a reader makes of them before and after the sender's reports.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { type MediaPacket, openMedia } from "../../media.ts";
import { clip, readAll, X264 } from "../support/media.ts";
import { type RtspSender, type RtspTrack, serveRtsp } from "../support/rtsp_sender.ts";

const VIDEO: RtspTrack = {
  media: "video",
  payloadType: 96,
  rtpmap: "H264/90000",
  fmtp: "packetization-mode=1",
};
const SOUND: RtspTrack = { media: "audio", payloadType: 0, rtpmap: "PCMU/8000" };
const FRAMES = 75;
/** RTP times at which the tracks begin. */
const BASES = [4_000_000_000, 123_456];
const WALL_CLOCK = 1_750_000_000;

const frames = async () => {
  const path = await clip("rtp.h264", { frames: FRAMES, encoderOptions: { ...X264, bf: "0", g: "25" } });
  return (await readAll(path, { decode: false })).packets.map(({ data }) => data);
};

/** Sends 75 frames and 150 packets of sound, as they come from a microphone that is `late` ms behind the camera. */
async function send(
  sender: RtspSender,
  late: number,
  reports: (index: number) => readonly number[],
  bases: readonly number[],
): Promise<void> {
  const pictures = await frames();
  const rtpTimes = [(index: number) => bases[0]! + index * 3600, (index: number) => bases[1]! + index * 320];
  const wallClocks = [
    (index: number) => WALL_CLOCK + index / 25,
    (index: number) => WALL_CLOCK + late / 1000 + index / 25,
  ];
  for (const [index, picture] of pictures.entries()) {
    for (const track of reports(index)) {
      sender.report(track, wallClocks[track]!(index), rtpTimes[track]!(index));
    }
    sender.frame(0, rtpTimes[0]!(index), picture);
    for (const half of [0, 160]) sender.frame(1, rtpTimes[1]!(index) + half, new Uint8Array(160).fill(0xff));
    await sleep(10);
  }
}

async function read(late: number, reports: (index: number) => readonly number[], bases = BASES) {
  using server = await serveRtsp([VIDEO, SOUND], (sender) => send(sender, late, reports, bases));
  await using media = await openMedia(server.url, {
    ...{ decode: false, audio: true, timeout: 10_000 },
    options: { rtsp_transport: "tcp" },
  });
  expect(media.tracks).toMatchObject([{ kind: "video" }, { kind: "audio", codec: "ulaw", sampleRate: 8000 }]);
  const packets: MediaPacket[] = [];
  try {
    for await (const event of media) if (event.kind === "packet") packets.push(event);
  } catch {
    // A server that hangs up.
  }
  const of = (track: number) => packets.filter((packet) => packet.track === track);
  expect([of(0).length, of(1).length]).toEqual([FRAMES, 2 * FRAMES]);
  return { video: of(0), sound: of(1) };
}

const MS = 1_000_000n;
const steps = (packets: readonly MediaPacket[]) =>
  packets.slice(1).map(({ timestampNs }, index) => timestampNs - packets[index]!.timestampNs);

it("tracks without reports begin together", async () => {
  const { video, sound } = await read(0, () => []);
  expect(new Set(steps(video))).toEqual(new Set([40n * MS]));
  expect(new Set(steps(sound))).toEqual(new Set([20n * MS]));
  expect(sound[0]!.timestampNs).toBe(video[0]!.timestampNs);
});

it("tracks that count from 0 have the time of their first packet, which FFmpeg takes for none", async () => {
  const { video, sound } = await read(0, () => [], [0, 0]);
  expect(new Set(steps(video))).toEqual(new Set([40n * MS]));
  const apart = sound.at(-1)!.timestampNs - video.at(-1)!.timestampNs - 20n * MS;
  expect(Math.abs(Number(apart / MS))).toBeLessThanOrEqual(40);
});

it.each([
  [
    "the video's first, sound that is late",
    300,
    (index: number) => index === 40 ? [0] : index === 50 ? [1] : [],
  ],
  [
    "the sound's first, sound that is late",
    300,
    (index: number) => index === 40 ? [1] : index === 50 ? [0] : [],
  ],
  ["the sound's first, far apart", 2500, (index: number) => index === 20 ? [1] : index === 30 ? [0] : []],
  ["the video's first, far apart", 2500, (index: number) => index === 20 ? [0] : index === 30 ? [1] : []],
  ["again and again", 300, (index: number) => index % 10 === 5 ? [0, 1] : []],
  ["both at once, sound that is early", -400, (index: number) => index === 40 ? [0, 1] : []],
])("reports put tracks together, and lose nothing: %s", async (_, late, reports) => {
  const { video, sound } = await read(late, reports);
  // The video's times never move.
  expect(new Set(steps(video))).toEqual(new Set([40n * MS]));
  expect(steps(sound).every((step) => step > 0n)).toBe(true);
  expect([...video, ...sound].some(({ discontinuity }) => discontinuity)).toBe(false);
  // Of the microphone's early sound the times wait for the line to come up.
  const last = { video: video.at(-1)!.timestampNs, sound: sound.at(-1)!.timestampNs };
  const expected = BigInt(late + 20) * MS;
  expect(Math.abs(Number(last.sound - last.video - expected)) / 1e6).toBeLessThan(5);
});
