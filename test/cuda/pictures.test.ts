// Pixels into a frame on the GPU and out of it, and pointers that are not what they are said to be.

import { expect } from "vitest";
import { devices, type PixelFormat, type Publisher, type WritableFrame } from "../../mod.ts";
import { PIXEL_FORMATS } from "../../src/core/constants.ts";
import { claimsOf, createPublisher, onHardware, refusalOf, runClaim, subscribe } from "../support/cuda.ts";
import { DriverError, frameSize, Gpu, mismatches } from "../support/gpu.ts";
import { eventually, outcomeOf } from "../support/processes.ts";

const claim = claimsOf(import.meta.url);
const formats = Object.keys(PIXEL_FORMATS) as PixelFormat[];

/** Bytes without a pattern that a misplaced row or plane could hide in; the same in every run. */
function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let index = 0; index < size; index++) {
    state = Math.imul(state, 0x343fd) + 0x269ec3 | 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

/** For each plane, the bytes of a row and the rows, without padding. */
function rowsOf(
  of: { format: PixelFormat; codedWidth: number; codedHeight: number },
): { bytes: number; rows: number }[] {
  return PIXEL_FORMATS[of.format].planes.map(({ bytes, x, y }) => ({
    bytes: Math.ceil(of.codedWidth / x) * bytes,
    rows: Math.ceil(of.codedHeight / y),
  }));
}

function packedSize(of: Publisher): number {
  return rowsOf(of).reduce((size, { bytes, rows }) => size + bytes * rows, 0);
}

claim("what write puts into a frame is what copyTo, toHost and read give back, in every format", async () => {
  for (const format of formats) {
    using publisher = createPublisher({ key: format, format, width: 37, height: 21 });
    using subscriber = await subscribe(publisher);
    expect([publisher.memory, subscriber.memory, subscriber.device]).toEqual([
      "cuda",
      "cuda",
      publisher.device,
    ]);
    const pixels = noise(packedSize(publisher));
    using writable = publisher.acquire();
    writable.write(pixels);
    expect(writable.read()).toEqual(pixels);
    pixels.set(noise(pixels.length, 2)); // the bytes are the caller's again
    const written = noise(pixels.length, 1);
    writable.publish();

    using frame = await subscriber.next();
    const copied = new Uint8Array(frame.allocationSize());
    await frame.copyTo(copied);
    expect(copied).toEqual(written);
    const whole = await frame.toHost();
    let start = 0;
    for (const [index, { bytes, rows }] of rowsOf(publisher).entries()) {
      const { offset, stride } = frame.planes[index]!;
      for (let row = 0; row < rows; row++) {
        expect(whole.subarray(offset + row * stride, offset + row * stride + bytes)).toEqual(
          written.subarray(start, start += bytes),
        );
      }
    }
  }
});

claim("copyTo takes a part of a frame and puts its planes where it is told", async () => {
  using publisher = createPublisher({ width: 32, height: 16 });
  using subscriber = await subscribe(publisher);
  const pixels = noise(packedSize(publisher));
  using writable = publisher.acquire();
  writable.write(pixels);
  writable.publish();
  using frame = await subscriber.next();
  const options = {
    rect: { x: 4, y: 2, width: 8, height: 6 },
    layout: [{ offset: 100, stride: 16 }, { offset: 0, stride: 10 }],
  };
  const copied = new Uint8Array(frame.allocationSize(options));
  await frame.copyTo(copied, options);
  for (let row = 0; row < 6; row++) {
    const from = (2 + row) * 32 + 4;
    expect(copied.subarray(100 + row * 16, 108 + row * 16)).toEqual(pixels.subarray(from, from + 8));
  }
  for (let row = 0; row < 3; row++) {
    const from = 32 * 16 + (1 + row) * 32 + 4;
    expect(copied.subarray(row * 10, row * 10 + 8)).toEqual(pixels.subarray(from, from + 8));
  }
});

claim("copyFrom takes a picture with any strides and offsets, in every format", async () => {
  using gpu = Gpu.open();
  const stream = gpu.stream();
  for (const format of formats) {
    using publisher = createPublisher({ key: format, format, width: 39, height: 22 });
    using subscriber = await subscribe(publisher);
    const rows = rowsOf(publisher);
    for (const padded of [true, false]) {
      // Padded as a decoder's surface is; or not at all, which needs no planes.
      let size = 0;
      const planes = rows.map(({ bytes, rows }) => {
        const stride = padded ? 512 : bytes;
        const offset = size;
        size += stride * (padded ? rows + 10 : rows);
        return { offset, stride };
      });
      const surface = gpu.allocate(size);
      const host = gpu.pinned(size);
      host.bytes.set(noise(size, padded ? 3 : 4));
      gpu.upload(surface, host, size, stream);
      using writable = publisher.acquire();
      writable.copyFrom({ devicePointer: surface, stream, ...(padded ? { planes } : {}) });
      writable.publish();

      using frame = await subscriber.next();
      const copied = new Uint8Array(frame.allocationSize());
      const places = await frame.copyTo(copied);
      for (const [index, { bytes, rows: count }] of rows.entries()) {
        for (let row = 0; row < count; row++) {
          const from = planes[index]!.offset + row * planes[index]!.stride;
          const to = places[index]!.offset + row * places[index]!.stride;
          expect(copied.subarray(to, to + bytes)).toEqual(host.bytes.slice(from, from + bytes));
        }
      }
    }
  }
});

/** What copyFrom says of a picture; the frame must be as usable as before. */
async function refused(
  attempt: (frame: WritableFrame, gpu: Gpu) => void,
): Promise<{ code: string; message: string }> {
  using gpu = Gpu.open();
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  const pixels = noise(packedSize(publisher));
  using writable = publisher.acquire();
  writable.write(pixels);
  const { code, message } = refusalOf(() => attempt(writable, gpu));
  writable.publish();
  using frame = await subscriber.next();
  const copied = new Uint8Array(pixels.length);
  await frame.copyTo(copied);
  expect(copied).toEqual(pixels);
  return { code, message };
}

claim("copyFrom refuses a null pointer", async () => {
  const { code, message } = await refused((frame) => frame.copyFrom({ devicePointer: 0n }));
  expect([code, message]).toEqual([
    "INVALID_ARGUMENT",
    expect.stringMatching(/planes\[0\]: the device pointer is null/),
  ]);
});

claim("copyFrom refuses what is no pointer", async () => {
  for (const devicePointer of [undefined, 4096, -1n, 2n ** 64n] as bigint[]) {
    const { code, message } = await refused((frame) => frame.copyFrom({ devicePointer }));
    expect([code, message]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringMatching(/devicePointer is .*: it must be a CUdeviceptr/),
    ]);
  }
});

claim("copyFrom refuses a stride that is shorter than a row", async () => {
  const { code, message } = await refused((frame, gpu) =>
    frame.copyFrom({
      devicePointer: gpu.allocate(4096),
      planes: [{ offset: 0, stride: 32 }, { offset: 2048, stride: 31 }],
    })
  );
  expect([code, message]).toEqual([
    "INVALID_ARGUMENT",
    expect.stringMatching(/\[1\]\.stride is 31: a row of this plane has 32 bytes/),
  ]);
});

claim("copyFrom refuses an allocation that ends before the picture does", async () => {
  // 32 × 16 NV12: 512 bytes of luma, 256 of chroma. To the byte, but for a real driver's rounding of allocations.
  const late = [{ offset: 0, stride: 32 }, { offset: 1793, stride: 32 }];
  for (
    const [size, planes] of [[onHardware ? 512 : 767, undefined], [511, undefined], [2048, late]] as const
  ) {
    const { code, message } = await refused((frame, gpu) => {
      const devicePointer = gpu.allocate(size);
      frame.copyFrom(planes === undefined ? { devicePointer } : { devicePointer, planes: [...planes] });
    });
    const tooSmall =
      /planes\[[01]\]: the allocation at 0x[0-9a-f]+ has \d+ bytes from there on, \d+ rows need \d+/;
    // A real driver knows nothing of what lies behind an allocation, where a whole plane may be.
    const beyond = /planes\[1\]: 0x[0-9a-f]+ is not device memory/;
    const expected = onHardware && size === 512 ? beyond : tooSmall;
    expect([code, message]).toEqual(["INVALID_ARGUMENT", expect.stringMatching(expected)]);
  }
  using gpu = Gpu.open();
  using publisher = createPublisher();
  using frame = publisher.acquire();
  frame.copyFrom({ devicePointer: gpu.allocate(768) });
});

claim("copyFrom refuses memory that is not the GPU's", async () => {
  const pinned = await refused((frame, gpu) => frame.copyFrom({ devicePointer: gpu.pinned(4096).address }));
  const nowhere = await refused((frame) => frame.copyFrom({ devicePointer: 0x1000n }));
  for (const { code, message } of [pinned, nowhere]) {
    expect([code, message]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringMatching(/planes\[0\]: 0x[0-9a-f]+ is not device memory/),
    ]);
  }
});

claim("copyFrom refuses memory of another GPU", async () => {
  const { code, message } = await refused((frame) => {
    using other = Gpu.open(1);
    frame.copyFrom({ devicePointer: other.allocate(4096) });
  });
  expect([code, message]).toEqual([
    "DEVICE_MISMATCH",
    expect.stringMatching(/is on device 1, the ring on device 0/),
  ]);
}, { needsDouble: true, environment: { CUDA_DOUBLE_DEVICES: "2" } });

claim("copyFrom refuses another number of planes than the format has", async () => {
  for (const count of [1, 3]) {
    const { code, message } = await refused((frame, gpu) =>
      frame.copyFrom({
        devicePointer: gpu.allocate(4096),
        planes: Array.from({ length: count }, (_, index) => ({ offset: index * 1024, stride: 64 })),
      })
    );
    expect([code, message]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringMatching(new RegExp(`${count} planes; NV12 has 2`)),
    ]);
  }
});

claim("write refuses any other number of bytes than a frame has", async () => {
  for (const size of [0, 767, 769, 4096]) {
    const { code, message } = await refused((frame) => frame.write(new Uint8Array(size)));
    expect([code, message]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringMatching(new RegExp(`^${size} bytes for a frame: .* has 768`)),
    ]);
  }
});

claim("a frame that was published or closed is not written any more, whoever has its slot now", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ slots: 2 });
  using subscriber = await subscribe(publisher);
  const pixels = noise(packedSize(publisher));
  const uses = (frame: WritableFrame) => [
    refusalOf(() => frame.write(noise(pixels.length, 9))),
    refusalOf(() => frame.copyFrom({ devicePointer: gpu.allocate(4096) })),
    refusalOf(() => frame.read()),
    refusalOf(() => frame.devicePointer),
    refusalOf(() => frame.planes),
  ];
  const published = publisher.acquire();
  published.write(pixels);
  published.publish();
  const closed = publisher.acquire();
  closed.close();
  using owner = publisher.acquire(); // the slot of the closed one
  owner.write(pixels);
  for (const { code, message } of [published, closed].flatMap(uses)) {
    expect([code, message]).toEqual(["INVALID_ARGUMENT", expect.stringContaining("published or closed")]);
  }
  owner.publish();
  using frame = await subscriber.next();
  const copied = new Uint8Array(pixels.length);
  await frame.copyTo(copied);
  expect(copied).toEqual(pixels);
});

claim("host memory has no device pointers and takes none", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher({ memory: "host" });
  using subscriber = await subscribe(publisher);
  using writable = publisher.acquire();
  expect([publisher.device, writable.devicePointer, writable.planes[0]!.devicePointer]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(refusalOf(() => writable.copyFrom({ devicePointer: gpu.allocate(4096) })).code).toBe("UNSUPPORTED");
  writable.publish({ stream: gpu.stream() }); // which means nothing here
  using frame = subscriber.nextSync({ timeout: 0 });
  expect([subscriber.device, frame.devicePointer, frame.memory]).toEqual([undefined, undefined, "host"]);
  expect(refusalOf(() => frame.release({ stream: 0n })).code).toBe("UNSUPPORTED");
  expect(frame.closed).toBe(false);
});

claim("planes say where they are on the GPU, and that the CPU cannot reach them", async () => {
  using publisher = createPublisher({ format: "I420", width: 300, height: 50 });
  using subscriber = await subscribe(publisher);
  using writable = publisher.acquire();
  writable.publish();
  using frame = await subscriber.next();
  expect(frame.planes.map(({ offset, stride, rows }) => ({ offset, stride, rows }))).toEqual(
    publisher.planes,
  );
  for (const plane of frame.planes) {
    expect(plane.stride % 256).toBe(0);
    expect(plane.devicePointer).toBe(frame.devicePointer! + BigInt(plane.offset));
    expect(refusalOf(() => plane.data).code).toBe("UNSUPPORTED");
  }
  expect(devices().map(({ uuid }) => uuid)).toContain(publisher.device);
});

claim("a frame is the publisher's memory, not a copy of it", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  const stream = gpu.stream();
  const size = frameSize(publisher);
  using writable = publisher.acquire();
  const pointer = writable.devicePointer!;
  gpu.fill(pointer, 1, size, stream);
  writable.publish({ stream });
  using frame = await subscriber.next();
  const copy = gpu.pinned(size);
  gpu.fill(pointer, 2, size, stream); // what no publisher should do
  gpu.download(copy, frame.devicePointer!, size, stream);
  gpu.synchronize(stream);
  expect(mismatches(copy.bytes, 2)).toBe(0);
});

claim("a write through a subscriber's mapping is refused", async () => {
  using gpu = Gpu.open();
  using publisher = createPublisher();
  using subscriber = await subscribe(publisher);
  const stream = gpu.stream();
  const size = frameSize(publisher);
  using writable = publisher.acquire();
  gpu.fill(writable.devicePointer!, 5, size, stream);
  writable.publish({ stream });
  using frame = await subscriber.next();
  const own = gpu.allocate(size);
  const writes = [
    () => gpu.fill(frame.devicePointer!, 6, size, stream),
    () => gpu.copy(frame.devicePointer!, own, size, stream),
    () => gpu.upload(frame.devicePointer!, gpu.pinned(size), size, stream),
  ];
  for (const write of writes) {
    let result = "nothing was refused";
    try {
      write();
      gpu.synchronize(stream);
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      result = error.result;
    }
    expect(result).toBe("CUDA_ERROR_INVALID_VALUE");
  }
  gpu.copy(own, frame.devicePointer!, size, stream);
  const copy = gpu.pinned(size);
  gpu.download(copy, own, size, stream);
  gpu.synchronize(stream);
  expect(mismatches(copy.bytes, 5)).toBe(0);
});

claim("a frame is copied to the host once for as long as it is held, whoever asks", async () => {
  const gpu = Gpu.open();
  const double = gpu.double!;
  using publisher = createPublisher({ slots: 12, format: "GRAY8" });
  using subscriber = await subscribe(publisher, { mode: "ordered" });
  const publish = (value: number) => {
    using writable = publisher.acquire();
    writable.write(new Uint8Array(512).fill(value));
    writable.publish();
  };
  publish(1);
  const frame = await subscriber.next();
  double.fail("");
  const host = await frame.toHost();
  const clone = frame.clone();
  await clone.copyTo(new Uint8Array(512));
  await frame.copyTo(new Uint8Array(512));
  expect(await clone.toHost()).toEqual(host);
  expect(double.calls("cuMemcpyDtoHAsync_v2")).toBe(1);
  await clone.toHost({ refresh: true });
  expect(double.calls("cuMemcpyDtoHAsync_v2")).toBe(2);
  frame.close();

  // The clone's copy stays while 7 others come and go.
  const others = [];
  for (let value = 2; value <= 8; value++) {
    publish(value);
    others.push(await subscriber.next());
  }
  for (const [index, other] of others.entries()) expect((await other.toHost())[0]).toBe(index + 2);
  expect(mismatches(new Uint8Array((await clone.toHost()).slice(0, 32)), 1)).toBe(0);
  for (const other of others) other.close();
  const before = double.live().pinned;
  for (let value = 0; value < 50; value++) {
    publish(value);
    using other = await subscriber.next();
    expect((await other.toHost())[0]).toBe(value);
  }
  expect(double.live().pinned).toBe(before);
  expect((await clone.toHost())[0]).toBe(1);
  clone.close();
  expect((await outcomeOf(clone.toHost())).code).toBe("INVALID_ARGUMENT");
  gpu.close();
}, { needsDouble: true });

claim(
  "write returns before the copy is done, and its staging memory is not overwritten under it",
  async () => {
    using gpu = Gpu.open();
    using publisher = createPublisher({ slots: 6, format: "GRAY8" });
    using subscriber = await subscribe(publisher, { mode: "ordered" });
    gpu.double!.delay(1_000_000);
    const start = performance.now();
    using first = publisher.acquire();
    first.write(new Uint8Array(512).fill(1));
    first.publish();
    expect(performance.now() - start).toBeLessThan(900);
    using second = publisher.acquire();
    second.write(new Uint8Array(512).fill(2)); // waits for the first one's copy
    second.publish();
    expect(performance.now() - start).toBeGreaterThan(950);
    gpu.double!.delay(0);
    for (const value of [1, 2]) {
      using frame = await subscriber.next();
      const copied = new Uint8Array(512);
      await frame.copyTo(copied);
      expect(mismatches(copied, value)).toBe(0);
    }
    await eventually("nothing is held", () => subscriber.stats().held === 0);
  },
  { needsDouble: true },
);

await runClaim();
