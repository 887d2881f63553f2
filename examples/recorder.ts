// Records a key's packets to a file for a while, not encoded again: recorder.ts KEY FILE [SECONDS]

import process from "node:process";
import { isCuframesError, Subscriber } from "../mod.ts";
import { Recorder } from "../media.ts";

const [key = "cam", file = "recording.mp4", seconds = "10"] = process.argv.slice(2);
using camera = await Subscriber.connect(key, { frames: false, timeout: 30_000 });
using packets = camera.packets({ wait: true });
const first = await packets.next({ timeout: 30_000 });
const { codedWidth, codedHeight } = packets.decoderConfig;
await using recorder = await Recorder.create(file, {
  codecId: packets.codecId,
  description: packets.description,
  codedWidth: codedWidth!,
  codedHeight: codedHeight!,
});
const end = first.timestamp + Number(seconds) * 1e6;
let recorded = 0;
try {
  for (let packet = first; packet.timestamp < end; packet = await packets.next()) {
    await recorder.write(packet);
    recorded++;
  }
} catch (error) {
  if (!isCuframesError(error, "DISCONNECTED")) throw error;
}
console.log(`${recorded} packets in ${file}`);
