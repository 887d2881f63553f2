// Publishes what a capture process hands over: imports each buffer once, copies each picture into a frame.
//
//     publisher.ts ADDRESS KEY [auto|host|cuda]

import process from "node:process";
import {
  DescriptorSocket,
  importDmabuf,
  type ImportedImage,
  isCuframesError,
  Publisher,
  type PublisherOptions,
  Subscriber,
} from "../../mod.ts";
import { decode, encode, type Picture } from "./messages.ts";

const [address = "@cuframes-capture", key = "capture", memory = "auto"] = process.argv.slice(2);

using listener = DescriptorSocket.listen(address);
console.log(`listening on ${address}`);
using capture = await listener.accept();
const { pid, uid } = capture.peer;
if (uid !== process.getuid!()) throw new Error(`process ${pid} of user ${uid} is not ours`);

const images = new Map<number, ImportedImage>();
let publisher: Publisher | undefined;
let done: Subscriber | undefined;
try {
  while (true) {
    using message = await capture.receive();
    const { buffer, width, height, fourcc, stride, chroma, timestamp } = decode<Picture>(message.bytes);
    publisher ??= Publisher.create({
      key,
      width,
      height,
      format: "NV12",
      memory: memory as Exclude<PublisherOptions["memory"], undefined>,
    });
    done ??= await Subscriber.connect(key, { mode: "ordered" });
    const [fd] = message.fds;
    if (fd !== undefined) {
      images.get(buffer)?.close();
      const planes = [{ fd, offset: 0, stride }, { fd, offset: chroma, stride }];
      // The image keeps a descriptor of its own; the message closes this one.
      images.set(buffer, importDmabuf({ width, height, fourcc, planes }));
    }
    const image = images.get(buffer);
    if (image === undefined) throw new Error(`buffer ${buffer} came without a descriptor`);
    using frame = publisher.acquire();
    frame.copyFrom(image);
    frame.publish({ timestamp });
    // On a GPU the frame comes when the copy is done; before, the buffer must stay as it is.
    (await done.next()).close();
    await capture.send(encode({ released: buffer }));
  }
} catch (error) {
  if (!isCuframesError(error, "DISCONNECTED")) throw error;
  console.log(`the capture process is gone; ${publisher?.stats().published ?? 0} frames published`);
}
for (const image of images.values()) image.close();
done?.close();
publisher?.close();
process.exit();
