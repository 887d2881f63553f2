// Writes the packets to a file as they are.

import { type Packet, Subscriber } from "../../mod.ts";
import { Recorder } from "../../media.ts";
import { main, type Task, task, tell } from "./events.ts";

export interface RecorderTask extends Task {
  file: string;
}

await main(async () => {
  const { key, runtimeDirectory, file } = task<RecorderTask>();
  using camera = await Subscriber.connect(key, { name: "recorder", frames: false, runtimeDirectory });
  using packets = camera.packets();
  await using recorder = await Recorder.create(file, {
    codecId: packets.codecId,
    description: packets.track.description,
    codedWidth: camera.codedWidth,
    codedHeight: camera.codedHeight,
  });
  tell({ event: "ready" });

  let count = 0;
  let first: Packet | undefined;
  for await (const packet of packets) {
    first ??= packet;
    await recorder.write(packet);
    count++;
  }
  await recorder.close();
  tell({
    event: "recorded",
    packets: count,
    first: Number(first?.sequence ?? 0),
    lost: packets.stats().lost,
    file,
  });
});
