// Sound and data beside the video: what the tracks are, what they carry, and one clock for all of them.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as av from "node-av";
import { outputOfSync } from "../../scripts/lib/process.ts";
import { type MediaPacket, type MediaTrack, openMedia, type OpenMediaOptions } from "../../media.ts";
import { openConnection } from "../../src/media/reader.ts";
import { Timeline } from "../../src/media/time/timeline.ts";
import { CLIP, clip, directory, hasFfmpeg, md5, SECOND, X264 } from "../support/media.ts";
import { shifted } from "../support/mpegts.ts";

interface Tracks {
  tracks: readonly MediaTrack[];
  packets: MediaPacket[];
  /** Packets of one track. */
  of(track: number): MediaPacket[];
}

async function readTracks(path: string, options: OpenMediaOptions = {}): Promise<Tracks> {
  await using media = await openMedia(path, { decode: false, audio: true, ...options });
  const packets: MediaPacket[] = [];
  for await (const event of media) if (event.kind === "packet") packets.push(event);
  return { tracks: media.tracks, packets, of: (track) => packets.filter((packet) => packet.track === track) };
}

/** A file's packets of sound as they are stored, with their times in ns. */
async function storedAudio(path: string, strip = false): Promise<{ md5: string; pts: bigint }[]> {
  const format = new av.FormatContext();
  format.allocContext();
  await format.openInput(path);
  await format.findStreamInfo();
  const stream = format.streams.find((one) => one.codecpar.codecType === av.AVMEDIA_TYPE_AUDIO)!;
  const packet = new av.Packet();
  packet.alloc();
  const read: { md5: string; pts: bigint }[] = [];
  while (await format.readFrame(packet) >= 0) {
    if (packet.streamIndex === stream.index) {
      const data = strip ? packet.data!.subarray(7) : packet.data!;
      packet.rescaleTs(stream.timeBase, { num: 1, den: 1_000_000_000 });
      read.push({ md5: md5(data), pts: packet.pts });
    }
    packet.unref();
  }
  packet.free();
  await format.closeInput();
  return read;
}

const told = (packets: readonly MediaPacket[]) =>
  packets.map(({ data, timestampNs }) => ({ md5: md5(data), pts: timestampNs }));
const rises = (packets: readonly MediaPacket[]) =>
  packets.every(({ decodeTimestampNs }, index) =>
    index === 0 || decodeTimestampNs > packets[index - 1]!.decodeTimestampNs
  );
const sound = (name: string, seconds: number, more: object = {}) =>
  clip(name, { frames: seconds * 25, audio: true, encoderOptions: { ...X264, bf: "0", g: "25" }, ...more });

describe("the tracks of an input", () => {
  it("are the video alone where nothing else is asked for", async () => {
    await using media = await openMedia(CLIP, { decode: false });
    expect(media.tracks).toEqual([media.video]);
    const tracks = new Set<number>();
    for await (const event of media) if (event.kind === "packet") tracks.add(event.track);
    expect([...tracks]).toEqual([0]);
  });

  it.each(["mp4", "mkv"])(
    "are the video and the sound, packet for packet as in the .%s",
    async (extension) => {
      const path = await sound(`sound.${extension}`, 3);
      const { tracks, of } = await readTracks(path);
      expect(tracks).toMatchObject([
        { kind: "video", codec: "avc1.64000b", codedWidth: 160, codedHeight: 120 },
        { kind: "audio", codec: "mp4a.40.2", sampleRate: 48_000 },
      ]);
      expect(tracks[1]!.description.length).toBeGreaterThanOrEqual(2);
      expect(of(0)).toHaveLength(75);
      expect(told(of(1))).toEqual(await storedAudio(path));
      expect(
        of(1).every(({ type, timestampNs, decodeTimestampNs }) =>
          type === "key" && timestampNs === decodeTimestampNs
        ),
      ).toBe(true);
    },
  );

  it("have AAC from MPEG-TS as access units without ADTS, described like those of an MP4", async () => {
    const path = await sound("sound.ts", 3);
    const { tracks, of } = await readTracks(path);
    const mp4 = await readTracks(await sound("described.mp4", 3));
    expect(tracks[1]).toMatchObject({ kind: "audio", codec: "mp4a.40.2", sampleRate: 48_000 });
    expect(tracks[1]!.description).toEqual(mp4.tracks[1]!.description.slice(0, 2));
    expect(told(of(1))).toEqual(await storedAudio(path, true));
    expect(of(1).some(({ config }) => config)).toBe(false);
  });

  it("are all there beside frames, which are those of the video", async () => {
    await using media = await openMedia(await sound("decoded.mp4", 2), { audio: true });
    const counts = { packet: [0, 0], frame: 0 };
    for await (const event of media) {
      if (event.kind === "frame") counts.frame++;
      else counts.packet[event.track]!++;
    }
    expect(counts.frame).toBe(50);
    expect(counts.packet[0]).toBe(50);
    expect(counts.packet[1]).toBeGreaterThan(90);
  });

  it("may be sound alone, without frames only", async () => {
    const path = await clip("alone.m4a", { frames: 50, audio: true, video: false });
    const { tracks, of } = await readTracks(path);
    expect(tracks.map(({ kind }) => kind)).toEqual(["audio"]);
    expect(told(of(0))).toEqual(await storedAudio(path));
    for (const options of [{ audio: true }, { decode: false }]) {
      await expect(openMedia(path, options)).rejects.toMatchObject({ code: "FORMAT" });
    }
    await using media = await openMedia(path, { decode: false, audio: true });
    expect(() => media.video).toThrow(/no video track/);
    expect([media.width, media.height]).toEqual([0, 0]);
  });

  it("are chosen by number, which must be there", async () => {
    const path = await sound("number.mp4", 1);
    expect((await readTracks(path, { audio: 0 })).of(1).length).toBeGreaterThan(40);
    await expect(openMedia(path, { audio: 1 })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(openMedia(path, { audio: -1 })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(openMedia(CLIP, { audio: 2 })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("go on together over a loop", async () => {
    await using media = await openMedia(await sound("loops.mp4", 1), {
      decode: false,
      audio: true,
      loop: true,
    });
    const packets: MediaPacket[] = [];
    for await (const event of media) {
      if (event.kind === "packet") packets.push(event);
      if (packets.length === 400) break;
    }
    for (const track of [0, 1]) {
      const own = packets.filter((packet) => packet.track === track);
      expect(rises(own)).toBe(true);
      const marks = own.flatMap(({ discontinuity }, index) => discontinuity ? [index] : []);
      expect(marks.length).toBeGreaterThanOrEqual(3);
      // Each pass begins at the same distance from the other track's.
      const begins = [0, ...marks].map((mark) => own[mark]!.timestampNs);
      expect(new Set(begins.slice(1).map((time, index) => time - begins[index]!)).size).toBeLessThanOrEqual(
        2,
      );
    }
  });

  it("keep their pace", async () => {
    const started = performance.now();
    const { of } = await readTracks(await sound("paced.mp4", 1), { realtime: true });
    expect(performance.now() - started).toBeGreaterThan(900);
    expect(of(1).length).toBeGreaterThan(40);
  });
});

describe("sound that changes", () => {
  const join2 = async (name: string, ...parts: Uint8Array[]) => {
    const path = join(directory, name);
    await writeFile(path, Buffer.concat(parts));
    return path;
  };
  const bytesOf = async (path: string) => new Uint8Array(await readFile(path));

  it("in no way is moved with the video's clock, when that starts anew", async () => {
    const bytes = await bytesOf(await sound("moved.ts", 2));
    const later = shifted(shifted(bytes, -5000, 0, Infinity, 0x100), -5000, 0, Infinity, 0x101);
    const whole = await readTracks(await join2("once.ts", bytes));
    const { of } = await readTracks(await join2("moves.ts", bytes, later));
    const distance = (read: Tracks, index: number, second: number) =>
      read.of(1)[index + second * whole.of(1).length]!.timestampNs -
      read.of(0)[index + second * whole.of(0).length]!.timestampNs;
    expect([of(0).length, of(1).length]).toEqual([2 * whole.of(0).length, 2 * whole.of(1).length]);
    const read = { tracks: [], packets: [], of };
    for (const index of [1, 20, 40]) expect(distance(read, index, 1)).toBe(distance(whole, index, 0));
    for (const track of [0, 1]) {
      expect(rises(of(track))).toBe(true);
      expect(of(track).filter(({ discontinuity }) => discontinuity)).toHaveLength(1);
      const steps = of(track).slice(1).map(({ timestampNs }, index) =>
        timestampNs - of(track)[index]!.timestampNs
      );
      expect(Math.max(...steps.map(Number)) / 1e6).toBeLessThan(100);
    }
  });

  it("keeps its own clock where one of its packets is out of place", async () => {
    const bytes = await bytesOf(await sound("whole-sound.ts", 2));
    const whole = await readTracks(await join2("sound-in-place.ts", bytes));
    const { of } = await readTracks(await join2("sound-off.ts", shifted(bytes, 3000, 3, 4, 0x101)));
    expect(of(0).map(({ timestampNs }) => timestampNs)).toEqual(
      whole.of(0).map(({ timestampNs }) => timestampNs),
    );
    expect(of(1)).toHaveLength(whole.of(1).length);
    expect(of(1).at(-1)!.timestampNs).toBe(whole.of(1).at(-1)!.timestampNs);
    expect(of(1).some(({ discontinuity }) => discontinuity)).toBe(false);
  });

  it("by coming late is taken when it comes, and says what it is", async () => {
    const options = { frames: 50, encoderOptions: { ...X264, bf: "0", g: "25" } };
    const before = await bytesOf(await clip("before.ts", options));
    const after = await bytesOf(await sound("after.ts", 2));
    const move = (pid: number, bytes: Uint8Array) => shifted(bytes, 2, 0, Infinity, pid);
    const path = await join2("late.ts", before, move(0x100, move(0x101, after)));
    // FFmpeg is to open it before the sound has come.
    const { tracks, of } = await readTracks(path, {
      options: { probesize: "20000", analyzeduration: "100000" },
    });
    expect(tracks.map(({ kind }) => kind)).toEqual(["video"]);
    const added = of(1);
    expect(of(0)).toHaveLength(100);
    expect(added.length).toBeGreaterThan(90);
    expect(added[0]!.config).toMatchObject({ kind: "audio", codec: "mp4a.40.2", sampleRate: 48_000 });
    expect(added.filter(({ config }) => config)).toHaveLength(1);
    expect(added[0]!.timestampNs - of(0)[50]!.timestampNs).toBeLessThan(SECOND / 10n);
    expect(rises(added)).toBe(true);
    expect((await readTracks(path, { audio: false })).of(1)).toEqual([]);
  });

  it("comes with a video that is joined in the middle, from its key packet on", async () => {
    const bytes = await bytesOf(await sound("joined.ts", 4));
    // The tables, and then all from the middle of a second.
    const middle = Math.floor(bytes.length / 188 * 0.4) * 188;
    const path = await join2("joined-late.ts", bytes.subarray(0, 3 * 188), bytes.subarray(middle));
    await using media = await openConnection(path, { decode: false, audio: true }, new Timeline());
    const packets: MediaPacket[] = [];
    for await (const event of media) if (event.kind === "packet") packets.push(event);
    const video = packets.filter(({ track }) => track === 0);
    const late = packets.filter(({ track }) => track === 1);
    expect(video[0]!.type).toBe("key");
    expect(video.length).toBeLessThan(75);
    // As long as the video, from its beginning on, but for what stands before its place in the file.
    expect(late[0]!.timestampNs).toBeGreaterThanOrEqual(video[0]!.timestampNs);
    expect(late[0]!.timestampNs - video[0]!.timestampNs).toBeLessThan(SECOND / 5n);
    const end = (one: MediaPacket) => one.timestampNs + one.durationNs;
    expect(Math.abs(Number(end(late.at(-1)!) - end(video.at(-1)!))) / 1e6).toBeLessThan(100);
  });

  it("comes with the video of a connection, from its key packet on", async () => {
    const path = await sound("connection.mp4", 2);
    const timeline = new Timeline();
    const connection = async () => {
      await using media = await openConnection(path, { decode: false, audio: true }, timeline);
      const packets: MediaPacket[] = [];
      for await (const event of media) if (event.kind === "packet") packets.push(event);
      return packets;
    };
    const [first, second] = [await connection(), await connection()];
    const whole = await readTracks(path);
    for (const packets of [first, second]) {
      expect(packets.filter(({ track }) => track === 1)).toHaveLength(whole.of(1).length);
    }
    const distance = (packets: readonly MediaPacket[]) =>
      packets.find(({ track }) => track === 1)!.timestampNs -
      packets.find(({ track }) => track === 0)!.timestampNs;
    expect(distance(second)).toBe(distance(first));
    for (const track of [0, 1]) {
      expect(rises([...first, ...second].filter((one) => one.track === track))).toBe(true);
    }
  });
});

describe.skipIf(!hasFfmpeg())("other sound and data (skipped without ffmpeg)", () => {
  const SINE = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2", "-f", "lavfi", "-i", "sine=r=48000:d=2"];
  const make = (name: string, ...options: string[]) => {
    const path = join(directory, name);
    outputOfSync("ffmpeg", ["-v", "error", "-y", ...SINE, "-c:v", "libx264", "-g", "25", ...options, path]);
    return path;
  };

  it.each([
    ["ts", "mp2", "mp2"],
    ["ts", "libmp3lame", "mp3"],
    ["ts", "ac3", "ac3"],
    ["ts", "libopus", "opus"],
    ["mkv", "pcm_s16le", "pcm-s16"],
    ["mkv", "pcm_alaw", "alaw"],
    ["avi", "pcm_mulaw", "ulaw"],
    ["mkv", "g722", "adpcm_g722"],
    ["mkv", "flac", "flac"],
  ])("in .%s by %s is carried as %s", async (extension, encoder, codec) => {
    const path = make(
      `${encoder}.${extension}`,
      "-c:a",
      encoder,
      "-ar",
      encoder === "g722" ? "16000" : "48000",
    );
    const { tracks, of } = await readTracks(path);
    expect(tracks[1]).toMatchObject({ kind: "audio", codec, numberOfChannels: 1 });
    expect(told(of(1))).toEqual(await storedAudio(path));
    expect(of(1).every(({ durationNs }) => durationNs > 0n)).toBe(true);
    expect(rises(of(1))).toBe(true);
  });

  it("that changes its rate says so, and goes on in time", async () => {
    const parts = [["48000", "1", "0"], ["16000", "2", "2"]].map(([rate, channels, offset]) =>
      make(`${rate}.ts`, "-c:a", "aac", "-ar", rate!, "-ac", channels!, "-output_ts_offset", offset!)
    );
    const path = join(directory, "rates.ts");
    await writeFile(path, Buffer.concat(await Promise.all(parts.map((part) => readFile(part)))));
    const { tracks, of } = await readTracks(path);
    expect(tracks[1]).toMatchObject({ sampleRate: 48_000, numberOfChannels: 1 });
    const configs = of(1).flatMap(({ config }) => config ? [config] : []);
    expect(configs).toMatchObject([{ codec: "mp4a.40.2", sampleRate: 16_000, numberOfChannels: 2 }]);
    const at = of(1).findIndex(({ config }) => config);
    const steps = of(1).slice(at + 4).map(({ timestampNs }, index) =>
      timestampNs - of(1)[at + 3 + index]!.timestampNs
    );
    expect(steps.every((step) => step > 62n * 1_000_000n && step < 66n * 1_000_000n)).toBe(true);
    expect(Number(of(1).at(-1)!.timestampNs - of(0).at(-1)!.timestampNs) / 1e6).toBeLessThan(100);
  });
});

it("data comes as its bytes, at its time, where it is asked for", async () => {
  const path = join(directory, "data.ts");
  const messages = Array.from({ length: 8 }, (_, index) => Buffer.from(`message ${index}`.repeat(index + 1)));
  await withData(await clip("without-data.ts", { frames: 50, encoderOptions: { ...X264, bf: "0" } }), path, [
    ...messages,
  ]);
  const { tracks, of } = await readTracks(path, { audio: false, data: true });
  expect(tracks).toMatchObject([{ kind: "video" }, { kind: "data", codec: "klv" }]);
  expect(of(1).map(({ data }) => Buffer.from(data).toString())).toEqual(messages.map(String));
  const first = of(0)[0]!.timestampNs;
  expect(of(1).map(({ timestampNs }) => timestampNs - first)).toEqual(
    messages.map((_, index) => BigInt(index) * SECOND / 5n),
  );
  expect((await readTracks(path)).tracks).toHaveLength(1);
});

/** A copy of a clip with a track of KLV beside its video, a message each 0.2 s. */
async function withData(source: string, path: string, messages: Buffer[]): Promise<void> {
  const [input, output] = [new av.FormatContext(), new av.FormatContext()];
  input.allocContext();
  await input.openInput(source);
  await input.findStreamInfo();
  output.allocOutputContext2(null, null, path);
  const [video, data] = [output.newStream(), output.newStream()];
  input.streams[0]!.codecpar.copy(video.codecpar);
  data.codecpar.codecType = av.AVMEDIA_TYPE_DATA;
  data.codecpar.codecId = av.AV_CODEC_ID_SMPTE_KLV;
  await output.openOutput();
  await output.writeHeader(null);
  const packet = new av.Packet();
  packet.alloc();
  for (let index = 0; await input.readFrame(packet) >= 0; index++) {
    const due = messages.length > 0 && index % 5 === 0;
    const pts = packet.pts;
    await output.writeFrame(packet);
    packet.unref();
    if (!due) continue;
    packet.data = messages.shift()!;
    packet.streamIndex = 1;
    packet.pts = packet.dts = pts;
    await output.writeFrame(packet);
    packet.unref();
  }
  await output.writeTrailer();
  packet.free();
  await output.closeOutput();
  output.freeContext();
  await input.closeInput();
}
