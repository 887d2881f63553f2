// Publishes as a camera does, 1080p NV12 and a packet each 40 ms: `camera.ts KEY SILENT_KEY`. Under the second key, which is
// as the first, nothing comes.

import process from "node:process";
import { setInterval } from "node:timers";
import { Publisher } from "../../mod.ts";

const intervalMs = 40;
const keyInterval = 25;
const [key = "", silentKey = ""] = process.argv.slice(2);
const picture = { width: 1920, height: 1080, format: "NV12" } as const;

const publisher = Publisher.create({ key, ...picture });
const silent = Publisher.create({ key: silentKey, ...picture });
silent.enablePackets({ codec: "h264" });
const packets = publisher.enablePackets({ codec: "h264" });
/** 4 Mbit a second. */
const data = new Uint8Array(20_000).fill(1);
data.set([0, 0, 0, 1, 0x65]);

let count = 0;
setInterval(() => {
  const timestamp = count * intervalMs * 1000;
  packets.write({ type: count % keyInterval === 0 ? "key" : "delta", timestamp, data });
  publisher.acquire().publish({ timestamp });
  count++;
}, intervalMs);
