// Decodes the input once; publishes its frames, each with its hash, and its packets.

import { isCuframesError, type MemoryKind, Publisher, type WritableFrame } from "../../mod.ts";
import { type MediaFrame, type MediaPacket, openMedia } from "../../media.ts";
import { digest, digestOf, go, main, type Task, task, tell } from "./events.ts";

export interface PublisherTask extends Task {
  input: string;
  fast: boolean;
  memory: MemoryKind | "auto";
}

await main(async () => {
  const { key, runtimeDirectory, input, fast, memory } = task<PublisherTask>();
  await using media = await openMedia(input, {
    realtime: !fast,
    hardware: memory === "host" ? "none" : "auto",
  });
  // At the input's own pace a slow reader loses frames; as fast as it goes, the publisher waits for the ordered one.
  using publisher = Publisher.create({
    key,
    runtimeDirectory,
    width: media.width,
    height: media.height,
    format: media.format,
    memory,
    policy: fast ? "wait" : "drop-oldest",
    timeout: 10_000,
  });
  const packets = publisher.enablePackets({
    codec: media.video.codecId,
    description: media.video.description,
    slots: 1024,
    dataSize: 64 * 1024 * 1024,
    maxPacketSize: 16 * 1024 * 1024,
  });
  tell({ event: "ready" });
  await go();

  let decoded = 0;
  let published = 0;
  let reported = 0;
  let packetCount = 0;
  let decodedOnGpu = 0;

  function writePacket(packet: MediaPacket): void {
    packets.write(packet);
    packetCount++;
  }

  function publishFrame(frame: MediaFrame, slot: WritableFrame): void {
    frame.writeTo(slot);
    if (frame.devicePicture !== undefined) decodedOnGpu++;
    slot.publish({
      timestampNs: frame.timestampNs,
      durationNs: frame.durationNs,
      corrupt: frame.corrupt,
      discontinuity: frame.discontinuity,
      metadata: slot.memory === "host" ? digest(slot.planes) : digestOf(slot.read()),
    });
    published++;
  }

  async function acquire(): Promise<WritableFrame | undefined> {
    try {
      return fast ? await publisher.acquireAsync() : publisher.acquire();
    } catch (error) {
      if (isCuframesError(error, "TIMEOUT", "WOULD_BLOCK")) return undefined; // decoded, and not published
      throw error;
    }
  }

  for await (const event of media) {
    if (event.kind === "packet") {
      writePacket(event);
      continue;
    }
    decoded++;
    using slot = await acquire();
    if (slot !== undefined) publishFrame(event, slot);
    if (performance.now() - reported < 500) continue;
    reported = performance.now();
    tell({ event: "progress", decoded, published });
  }
  tell({
    event: "published",
    decoded,
    published,
    packets: packetCount,
    memory: publisher.memory,
    decodedOnGpu,
  });
});
