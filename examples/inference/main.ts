// Inference on the newest frame, with onnxruntime-node: main.ts KEY [FRAMES]. First `npm install` in this folder.

import process from "node:process";
import * as ort from "onnxruntime-node";
import { Subscriber } from "../../mod.ts";
import { meanModel } from "./model.ts";

const [key = "cam", frames = "Infinity"] = process.argv.slice(2);
const session = await ort.InferenceSession.create(meanModel());
using camera = await Subscriber.connect(key, { packets: false, timeout: 30_000 });
let left = Number(frames);
for await (using frame of camera) {
  const pixels = new Uint8Array(frame.allocationSize());
  await frame.copyTo(pixels); // on a GPU, give frame.devicePointer to an execution provider there instead
  const { width, height } = frame.visibleRect; // what copyTo copies; frame.rotation says how it is turned
  const luma = Float32Array.from(pixels.subarray(0, width * height));
  const picture = new ort.Tensor("float32", luma, [1, 1, height, width]);
  const { mean } = await session.run({ picture });
  console.log(JSON.stringify({ timestamp: frame.timestamp, mean: mean!.data[0] }));
  if (--left <= 0) break;
}
