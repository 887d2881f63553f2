// Every track of a key at once.

import { expect, test } from "vitest";
import type { PacketRingWriter, Publisher, Subscriber } from "../../mod.ts";
import { AllTracks, type TrackPacket } from "../../src/media/all_tracks.ts";
import { createPublisher, expectCode, subscribe, uniqueKey } from "../support/ring.ts";

const sound = { kind: "audio", codec: "opus", sampleRate: 48_000, numberOfChannels: 2 } as const;

function write(track: PacketRingWriter, milliseconds: number, type: "key" | "delta" = "key"): void {
  track.write({ data: Uint8Array.of(track.track, 1, 2), type, timestamp: milliseconds * 1000 });
}

const said = ({ track, packet, epoch }: TrackPacket) => [track, packet.timestamp / 1000, epoch];

async function take(tracks: AllTracks, count: number): Promise<ReturnType<typeof said>[]> {
  const packets: ReturnType<typeof said>[] = [];
  for await (const packet of tracks.values({ timeout: 10_000 })) {
    if (packets.push(said(packet)) === count) break;
  }
  return packets;
}

/** A camera with pictures and sound, and somebody who is there from the beginning. */
async function begin(
  key = uniqueKey(),
  reconnect = false,
): Promise<{ publisher: Publisher; subscriber: Subscriber } & Disposable> {
  const publisher = createPublisher({ key, packets: { codec: "h264", slots: 512 }, tracks: [sound] });
  const subscriber = await subscribe(key, { frames: false, reconnect });
  return {
    publisher,
    subscriber,
    [Symbol.dispose]() {
      subscriber.close();
      publisher.close();
    },
  };
}

test("what is there comes in the order of its times, however unevenly it was written", async () => {
  using camera = await begin();
  const [pictures, sounds] = camera.publisher.tracks;
  for (let time = 0; time < 4000; time += 40) write(pictures!, time, time === 0 ? "key" : "delta");
  for (let time = 10; time < 4000; time += 20) write(sounds!, time);
  using tracks = new AllTracks(camera.subscriber, { sinceConnection: true });
  const packets = await take(tracks, 300);
  const times = packets.map(([, time]) => time!);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(packets.filter(([track]) => track === 0)).toHaveLength(100);
  expect(tracks.stats()).toEqual({ received: 300, lost: 0, lag: 0 });
});

test("what comes live comes at once: no track waits for one that is silent", async () => {
  using camera = await begin();
  const [pictures, sounds] = camera.publisher.tracks;
  using tracks = new AllTracks(camera.subscriber, { sinceConnection: true });
  const events = tracks.values({ timeout: 10_000 });
  for (
    const [track, time] of [[pictures, 0], [pictures, 40], [sounds, 5], [pictures, 80], [sounds, 7]] as const
  ) {
    write(track!, time);
    expect(said((await events.next()).value!)).toEqual([track!.track, time, 0]);
  }
});

test("a track that the publisher adds later is read from its first packet on", async () => {
  using camera = await begin();
  using tracks = new AllTracks(camera.subscriber, { sinceConnection: true });
  write(camera.publisher.packets!, 0);
  expect(await take(tracks, 1)).toEqual([[0, 0, 0]]);
  const events = camera.publisher.addTrack({ kind: "data", codec: "json" });
  const more = camera.publisher.addTrack({ kind: "data", codec: "klv" });
  for (const time of [1, 3]) write(events, time);
  for (const time of [2, 4]) write(more, time);
  const packets = await take(tracks, 4);
  expect(packets.filter(([track]) => track === 2)).toEqual([[2, 1, 0], [2, 3, 0]]);
  expect(packets.filter(([track]) => track === 3)).toEqual([[3, 2, 0], [3, 4, 0]]);
  expect(tracks.trackOf(3)).toMatchObject({ kind: "data", codec: "klv" });
});

test("the next publisher's packets come behind the ones of the publisher before, with another epoch", async () => {
  const key = uniqueKey();
  using camera = await begin(key, true);
  using tracks = new AllTracks(camera.subscriber, { sinceConnection: true });
  const [pictures, sounds] = camera.publisher.tracks;
  for (const time of [1000, 1040]) write(pictures!, time);
  for (const time of [1000, 1020, 1060]) write(sounds!, time);
  camera.publisher.close();
  using second = createPublisher({ key, packets: { codec: "hevc" }, tracks: [sound] });
  for (const time of [0, 40]) write(second.packets!, time);
  write(second.tracks[1]!, 0);
  const packets = await take(tracks, 8);
  expect(packets.slice(0, 5).map(([, , epoch]) => epoch)).toEqual([0, 0, 0, 0, 0]);
  expect(packets.slice(5).map(([, , epoch]) => epoch)).toEqual([1, 1, 1]);
});

test("it ends with the publisher, after its last packet; a time-out and a signal end it sooner", async () => {
  using camera = await begin();
  using tracks = new AllTracks(camera.subscriber, { sinceConnection: true });
  await expectCode(tracks.values({ timeout: 20 }).next(), "TIMEOUT", "20 ms");
  const reason = new Error("enough");
  await expect(tracks.values({ signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);
  const controller = new AbortController();
  const waiting = tracks.values({ signal: controller.signal }).next();
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  write(camera.publisher.tracks[1]!, 5);
  camera.publisher.close();
  const packets: TrackPacket[] = [];
  for await (const packet of tracks) packets.push(packet);
  expect(packets.map(said)).toEqual([[1, 5, 0]]);
});

test("a track that says it has packets and gives none is not waited for again and again", async () => {
  using camera = await begin();
  const [pictures, sounds] = camera.publisher.tracks;
  using tracks = new AllTracks(camera.subscriber, { sinceConnection: true });
  // Without a key packet there is nothing to begin with.
  for (let time = 0; time < 2000; time += 40) write(pictures!, time, "delta");
  const begun = performance.now();
  for (let time = 0; time < 2000; time += 20) write(sounds!, time);
  expect(await take(tracks, 100)).toHaveLength(100);
  expect(performance.now() - begun).toBeLessThan(5000);
});
