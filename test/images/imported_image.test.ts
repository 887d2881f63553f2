// Pictures of other programs in host memory: what becomes of their bytes, and of what they were made of.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { closeDescriptor, importDmabuf, Publisher, type PublisherOptions, Subscriber } from "../../mod.ts";
import { isOpen, memfdDescriptors } from "../support/memfd.ts";
import { becomes, frameOf, Picture, planeOf, refusalOf, shapes } from "../support/pictures.ts";

let runtimeDirectory: string;
beforeEach(() => runtimeDirectory = mkdtempSync(join(tmpdir(), "cuframes-test-")));
afterEach(() => rmSync(runtimeDirectory, { recursive: true, force: true }));

function create(options: Partial<PublisherOptions> = {}): Publisher {
  return Publisher.create({ key: "images", runtimeDirectory, width: 61, height: 35, ...options });
}

/** What a subscriber sees of the next frame. */
async function published(
  publisher: Publisher,
  fill: (frame: ReturnType<Publisher["acquire"]>) => void,
): Promise<{ planes: Uint8Array[] }> {
  using subscriber = await Subscriber.connect("images", { runtimeDirectory, mode: "ordered" });
  using frame = publisher.acquire();
  fill(frame);
  using seen = await frameOf(subscriber, frame.publish());
  return { planes: await Promise.all(seen.planes.map((_, index) => planeOf(seen, index))) };
}

describe("a picture becomes a frame", () => {
  const kinds = [["sealed memory, mapped", true], ["memory that can shrink, read", false]] as const;
  test.each(kinds)("byte for byte, as often as it is painted: %s", async (_, sealed) => {
    for (const [fourcc, format] of becomes) {
      for (const separate of shapes[fourcc].length > 1 ? [false, true] : [false]) {
        using publisher = create({ format });
        using picture = new Picture(fourcc, { sealed, separate });
        using image = importDmabuf(picture.options);
        expect(image).toMatchObject({ fourcc, width: 61, height: 35, memory: "host", layout: "pitch" });
        expect(image.devicePointer).toBeUndefined();
        expect(image.planes).toEqual(picture.planes.map(({ offset, stride }, index) => ({
          offset,
          stride,
          rows: Math.ceil(35 / shapes[fourcc][index]![2]),
          rowBytes: picture.rowBytes(index),
          devicePointer: undefined,
          array: undefined,
        })));
        for (const seed of [3, 4]) {
          picture.paint(seed);
          const { planes } = await published(publisher, (frame) => frame.copyFrom(image));
          expect(planes, `${fourcc} to ${format}`).toEqual(picture.content.slice(0, planes.length));
        }
      }
    }
  });

  test("without padding between its rows", async () => {
    using publisher = create({ width: 64, height: 4, format: "GRAY8" });
    using picture = new Picture("R8", { width: 64, height: 4, stride: 64 });
    using image = importDmabuf(picture.options);
    expect((await published(publisher, (frame) => frame.copyFrom(image))).planes[0]).toEqual(
      picture.content[0],
    );
  });

  test("R8 and GR88 are the planes of an NV12 frame", async () => {
    using luma = new Picture("R8");
    using chroma = new Picture("GR88", { width: 31, height: 18, seed: 5 });
    using publisher = create({ format: "NV12" });
    using first = importDmabuf(luma.options);
    using second = importDmabuf(chroma.options);
    const { planes } = await published(publisher, (frame) => {
      frame.copyFrom(first, { plane: 0 });
      frame.copyFrom(second, { plane: 1 });
      for (const plane of [-1, 2, 0.5, NaN]) {
        expect(refusalOf(() => frame.copyFrom(first, { plane })).code).toBe("INVALID_ARGUMENT");
      }
      expect(refusalOf(() => frame.copyFrom(second, { plane: 0 })).code).toBe("FORMAT");
    });
    expect(planes).toEqual([luma.content[0], chroma.content[0]]);
    // Bytes are those of any plane.
    using bytes = new Picture("R8", { width: 62, height: 18, seed: 6 });
    using third = importDmabuf(bytes.options);
    const again = await published(publisher, (frame) => {
      frame.copyFrom(first, { plane: 0 });
      frame.copyFrom(third, { plane: 1 });
    });
    expect(again.planes[1]).toEqual(bytes.content[0]);
  });

  test("of its own size and format only", () => {
    using publisher = create({ format: "NV12" });
    using frame = publisher.acquire();
    for (const fourcc of ["YUYV", "XRGB8888", "XRGB2101010", "P010", "GR88"] as const) {
      using picture = new Picture(fourcc);
      using image = importDmabuf(picture.options);
      expect(refusalOf(() => frame.copyFrom(image))).toMatchObject({
        code: "FORMAT",
        message: expect.stringContaining(`an image in ${fourcc} cannot become a frame in NV12`),
      });
    }
    using picture = new Picture("NV12", { width: 60 });
    using image = importDmabuf(picture.options);
    expect(refusalOf(() => frame.copyFrom(image)).message).toMatch(/60×35 does not fill a frame of 61×35/);
  });
});

describe("an image", () => {
  test("outlives its descriptor and its maker's mapping; nothing of it stays", async () => {
    const before = memfdDescriptors();
    const picture = new Picture("NV12", { seed: 9, separate: true });
    const content = picture.content.map((plane) => plane.slice());
    const image = importDmabuf(picture.options);
    picture[Symbol.dispose]();
    for (const { fd } of picture.planes) expect(isOpen(fd)).toBe(false);
    {
      using publisher = create({ format: "NV12" });
      expect((await published(publisher, (frame) => frame.copyFrom(image))).planes).toEqual(content);
    }
    image.close();
    image.close();
    expect(image.closed).toBe(true);
    expect(memfdDescriptors()).toEqual(before);
  });

  test("that is closed copies nothing, and leaves the frame as it was", async () => {
    using picture = new Picture("R8");
    using publisher = create({ format: "GRAY8" });
    const image = importDmabuf(picture.options);
    image.close();
    const { planes } = await published(publisher, (frame) => {
      frame.planes[0]!.data.fill(8);
      expect(refusalOf(() => frame.copyFrom(image))).toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringContaining("this image is closed"),
      });
    });
    expect(planes[0]!.every((byte) => byte === 8)).toBe(true);
  });

  test("cannot be copied into a frame that is published or closed", () => {
    using picture = new Picture("R8");
    using publisher = create({ format: "GRAY8" });
    using image = importDmabuf(picture.options);
    const first = publisher.acquire();
    first.publish();
    const second = publisher.acquire();
    second.close();
    for (const frame of [first, second]) {
      expect(refusalOf(() => frame.copyFrom(image)).code).toBe("INVALID_ARGUMENT");
    }
  });

  test("whose memory becomes smaller is an error, and can be copied when it is large enough again", async () => {
    using picture = new Picture("R8", { sealed: false });
    using publisher = create({ format: "GRAY8" });
    using image = importDmabuf(picture.options);
    const size = picture.files[0]!.size;
    picture.files[0]!.shrink(1000);
    using frame = publisher.acquire();
    expect(refusalOf(() => frame.copyFrom(image))).toMatchObject({
      code: "IO",
      message: expect.stringMatching(/planes\[0\]: its memory has become smaller/),
    });
    frame.close();
    picture.files[0]!.shrink(size);
    picture.paint(2);
    expect((await published(publisher, (frame) => frame.copyFrom(image))).planes[0]).toEqual(
      picture.content[0],
    );
  });

  test("is made 2000 times without a descriptor more", () => {
    using picture = new Picture("NV12");
    const before = memfdDescriptors();
    for (let round = 0; round < 2000; round++) importDmabuf(picture.options).close();
    expect(memfdDescriptors()).toEqual(before);
  });
});

test("a frame's dma-buf on the host", async () => {
  using publisher = create({ format: "GRAY8" });
  using subscriber = await Subscriber.connect("images", { runtimeDirectory });
  using frame = publisher.acquire();
  frame.write(new Uint8Array(61 * 35).map((_, index) => index));
  frame.publish();
  const seen = await subscriber.next();
  const before = memfdDescriptors();
  if (existsSync("/dev/udmabuf")) {
    // The way there and back: the slot's copy, imported.
    const fd = seen.exportDmabuf();
    const [{ offset, stride }] = seen.planes as unknown as [{ offset: number; stride: number }];
    {
      using image = importDmabuf({
        width: 61,
        height: 35,
        fourcc: "R8",
        memory: "host",
        planes: [{ fd, offset, stride }],
      });
      const { planes } = await published(publisher, (next) => next.copyFrom(image));
      expect(planes[0]).toEqual(await planeOf(seen, 0));
    }
    closeDescriptor(fd);
  } else {
    expect(refusalOf(() => seen.exportDmabuf())).toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining("/dev/udmabuf"),
    });
  }
  expect(memfdDescriptors()).toEqual(before);
  seen.close();
  expect(refusalOf(() => seen.exportDmabuf()).code).toBe("INVALID_ARGUMENT");
});
