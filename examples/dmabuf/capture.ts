// A stand-in for capture software: draws pictures into buffers and hands each to the publisher as a descriptor.
//
//     capture.ts ADDRESS [FRAMES] [memory|host|cuda]
//
// memory (default): four buffers of shared memory that are used again and again, as a camera's are. host, cuda: a dma-buf
// for each picture, which the kernel makes of host memory (/dev/udmabuf) or the NVIDIA driver of the GPU's.

import { closeSync, constants, ftruncateSync, openSync, unlinkSync, writeSync } from "node:fs";
import process from "node:process";
import { closeDescriptor, DescriptorSocket, type Frame, Publisher, Subscriber } from "../../mod.ts";
import { decode, encode, type Picture, type Released } from "./messages.ts";

const [address = "@cuframes-capture", count = "100", kind = "memory"] = process.argv.slice(2);
const width = 640;
const height = 360;
const rows = height + height / 2; // NV12: luma, then half as many rows of chroma

/** Grey that says which picture it is, with neutral chroma. */
function draw(number: number): Uint8Array {
  return new Uint8Array(width * rows).fill(number & 255, 0, width * height).fill(128, width * height);
}

interface Source {
  /** A picture in a buffer that nobody reads, and the buffer's descriptor where the publisher has not had it yet. */
  next(number: number): Promise<{ buffer: number; fd?: number; stride: number; chroma: number }>;
  /** The publisher has its copy. */
  release(buffer: number): void;
}

/** A fixed pool: each descriptor is sent once. */
function sharedMemory(buffers: number): Source {
  const fds = Array.from({ length: buffers }, (_, index) => {
    const path = `/dev/shm/cuframes-capture-${process.pid}-${index}`;
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    unlinkSync(path);
    ftruncateSync(fd, width * rows);
    return fd;
  });
  process.on("exit", () => fds.forEach((fd) => closeSync(fd)));
  const sent = new Set<number>();
  const free = fds.map((_, index) => index);
  return {
    next(number) {
      const buffer = free.shift()!;
      writeSync(fds[buffer]!, draw(number), 0, width * rows, 0);
      const place = { buffer, stride: width, chroma: width * height };
      if (sent.has(buffer)) return Promise.resolve(place);
      sent.add(buffer);
      return Promise.resolve({ ...place, fd: fds[buffer]! });
    },
    release: (buffer) => free.push(buffer),
  };
}

/** A ring of this process's own, whose frames are handed out as dma-bufs. */
async function dmabufs(memory: "host" | "cuda"): Promise<Source> {
  const publisher = Publisher.create({ key: `capture-${process.pid}`, width, height, memory });
  const subscriber = await Subscriber.connect(publisher.key, { mode: "ordered" });
  const held = new Map<number, Frame>();
  return {
    async next(number) {
      const frame = publisher.acquire();
      frame.write(draw(number));
      frame.publish();
      const picture = await subscriber.next();
      held.set(number, picture);
      const [luma, chroma] = publisher.planes;
      if (luma!.offset !== 0 || luma!.stride !== chroma!.stride) throw new Error("planes of another kind");
      return { buffer: number, fd: picture.exportDmabuf(), stride: luma!.stride, chroma: chroma!.offset };
    },
    release(buffer) {
      held.get(buffer)?.close();
      held.delete(buffer);
    },
  };
}

const source = kind === "memory" ? sharedMemory(4) : await dmabufs(kind as "host" | "cuda");
using publisher = await DescriptorSocket.connect(address, { timeout: 30_000 });
for (let number = 0; number < Number(count); number++) {
  const { fd, buffer, stride, chroma } = await source.next(number);
  const picture: Picture = {
    buffer,
    width,
    height,
    fourcc: "NV12",
    stride,
    chroma,
    timestamp: number * 40_000,
  };
  await publisher.send(encode(picture), fd === undefined ? [] : [fd]);
  // The publisher has a duplicate of its own; those of a pool are kept to draw into.
  if (fd !== undefined && kind !== "memory") closeDescriptor(fd);
  using answer = await publisher.receive();
  source.release(decode<Released>(answer.bytes).released);
}
console.log(`sent ${count} pictures`);
process.exit();
