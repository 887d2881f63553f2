// Images that EGL imports and CUDA registers, on the doubles of both: what EGL is asked for, what becomes of the pixels, and
// every call failing once.

import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import {
  closeDescriptor,
  CuframesError,
  dmabufFormats,
  type DrmFormat,
  importDmabuf,
  type ImportedImage,
  importEglImage,
  type Publisher,
  trimImports,
} from "../../mod.ts";
import { root } from "../../scripts/toolchain.mjs";
import { claimsOf, createPublisher, refusalOf, runClaim, subscribe } from "../support/cuda.ts";
import { setEnvironment } from "../support/foreign.ts";
import { EglDouble, fourccNumber, planeAttributes } from "../support/egl.ts";
import { Gpu, type Live } from "../support/gpu.ts";
import { Memfd, openDescriptors } from "../support/memfd.ts";
import { becomes, frameOf, Picture, planeOf, shapes } from "../support/pictures.ts";
import { eventually } from "../support/processes.ts";

const claim = claimsOf(import.meta.url);
const onDouble = { needsDouble: true };
const tiled = 0x0300_0000_0060_6010n;

/** Whether an object has these numbers among its own. */
function isSubset(some: Partial<Live>, all: Live): boolean {
  return Object.entries(some).every(([name, value]) => all[name as keyof Live] === value);
}

function isSame(one: State, other: State): boolean {
  return JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());
}

function eglImport(picture: Picture, options: object = {}): ImportedImage {
  return importDmabuf({ ...picture.options, memory: "cuda", ...options });
}

/** One frame, from an image or otherwise, as a subscriber sees it. */
async function published(publisher: Publisher, fill: (frame: ReturnType<Publisher["acquire"]>) => void) {
  const subscriber = await subscribe(publisher);
  using frame = publisher.acquire();
  fill(frame);
  const received = await frameOf(subscriber, frame.publish());
  return {
    frame: received,
    [Symbol.dispose]() {
      received.close();
      subscriber.close();
    },
  };
}

/** EGL_EXT_image_dma_buf_import(_modifiers), as the specification lists them; a descriptor is whatever it is. */
function specified(picture: Picture, modifier?: bigint): unknown[] {
  const list: unknown[] = [
    0x3057,
    picture.width,
    0x3056,
    picture.height,
    0x3271,
    fourccNumber(picture.fourcc),
  ];
  for (const [index, { offset, stride }] of picture.planes.entries()) {
    const [fd, offsetName, pitch, low, high] = planeAttributes[index]!;
    list.push(fd, expect.any(Number), offsetName, offset, pitch, stride);
    if (modifier === undefined) continue;
    list.push(low, Number(BigInt.asIntN(32, modifier)), high, Number(BigInt.asIntN(32, modifier >> 32n)));
  }
  return list;
}

claim("EGL is asked for each format as specified, with one descriptor and with one for each plane", () => {
  const egl = new EglDouble();
  for (const fourcc of Object.keys(shapes) as DrmFormat[]) {
    for (const separate of shapes[fourcc].length > 1 ? [false, true] : [false]) {
      using picture = new Picture(fourcc, { separate });
      using plain = eglImport(picture);
      expect(egl.attributes(), fourcc).toEqual(specified(picture));
      // Which names none.
      const DRM_FORMAT_MOD_INVALID = 0x00ff_ffff_ffff_ffffn;
      eglImport(picture, { modifier: DRM_FORMAT_MOD_INVALID, height: 34 }).close();
      expect(egl.attributes(), fourcc).toHaveLength(specified(picture).length);
      expect(plain).toMatchObject({ fourcc, width: 61, height: 35, memory: "cuda", layout: "array" });
      expect(plain.planes.map(({ rowBytes, rows }) => rowBytes * rows)).toEqual(
        picture.content.map(({ length }) => length),
      );
      for (const plane of plain.planes) expect(plane.array).toBeGreaterThan(0n);
      if (fourcc === "YUYV") continue; // the double takes it without a modifier only
      for (const modifier of [0n, tiled]) {
        using _image = eglImport(picture, { modifier });
        expect(egl.attributes(), fourcc).toEqual(specified(picture, modifier));
      }
    }
  }
}, onDouble);

for (const layout of ["array", "pitch"]) {
  claim(`each format becomes a frame byte for byte: ${layout} frames`, async () => {
    using gpu = Gpu.open();
    const stream = gpu.stream();
    for (const [fourcc, format] of becomes) {
      // A pitched frame of CUDA's has one pitch for all planes.
      using picture = new Picture(fourcc, {
        separate: fourcc === "P010",
        ...(layout === "pitch" ? { stride: 256 } : {}),
      });
      using publisher = createPublisher({ width: 61, height: 35, format });
      using image = eglImport(picture);
      expect(image.layout).toBe(layout);
      expect(image.devicePointer === undefined).toBe(layout === "array");
      // Registered once, copied as often as it is painted.
      for (const seed of [1, 2]) {
        picture.paint(seed);
        using seen = await published(
          publisher,
          (frame) => frame.copyFrom(image, seed === 1 ? {} : { stream }),
        );
        for (let plane = 0; plane < publisher.planes.length; plane++) {
          expect(await planeOf(seen.frame, plane), `${fourcc} to ${format}`).toEqual(picture.content[plane]);
        }
      }
    }
  }, { ...onDouble, environment: { EGL_DOUBLE_FRAMES: layout } });
}

claim("R8 and GR88 make the planes of an NV12 frame, from the GPU and from the host", async () => {
  using luma = new Picture("R8");
  using chroma = new Picture("GR88", { width: 31, height: 18, seed: 5 });
  using publisher = createPublisher({ width: 61, height: 35, format: "NV12" });
  for (const memory of ["cuda", "host"] as const) {
    using first = importDmabuf({ ...luma.options, memory });
    using second = importDmabuf({ ...chroma.options, memory });
    using seen = await published(publisher, (frame) => {
      frame.copyFrom(first, { plane: 0 });
      frame.copyFrom(second, { plane: 1 });
      expect(refusalOf(() => frame.copyFrom(second, { plane: 0 })).code).toBe("FORMAT");
      expect(refusalOf(() => frame.copyFrom(second, { plane: 2 })).code).toBe("INVALID_ARGUMENT");
    });
    expect(await planeOf(seen.frame, 0)).toEqual(luma.content[0]);
    expect(await planeOf(seen.frame, 1)).toEqual(chroma.content[0]);
    luma.paint(8);
    chroma.paint(9);
  }
}, onDouble);

claim("between the GPU and the host, both ways", async () => {
  using picture = new Picture("NV12");
  for (const ring of ["cuda", "host"] as const) {
    for (const memory of ["cuda", "host"] as const) {
      using publisher = createPublisher({ width: 61, height: 35, memory: ring });
      using image = importDmabuf({ ...picture.options, memory });
      using seen = await published(publisher, (frame) => frame.copyFrom(image));
      for (const plane of [0, 1]) expect(await planeOf(seen.frame, plane)).toEqual(picture.content[plane]);
      picture.paint(3);
    }
  }
}, onDouble);

claim("a copy is ordered by its stream, before publish, and outlives the image", async () => {
  using gpu = Gpu.open();
  const double = gpu.double!;
  using picture = new Picture("R8", { width: 64, height: 64 });
  using publisher = createPublisher({ width: 64, height: 64, format: "GRAY8" });
  using subscriber = await subscribe(publisher);
  const stream = gpu.stream();
  const image = eglImport(picture);
  using frame = publisher.acquire();
  double.hold();
  frame.copyFrom(image, { stream });
  frame.publish();
  double.awaitHeld(1);
  image.close();
  image.close();
  expect(refusalOf(() => publisher.acquire().copyFrom(image)).message).toMatch(/this image is closed/);
  await expect(subscriber.next({ timeout: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
  double.resume();
  using received = await subscriber.next();
  expect(await planeOf(received, 0)).toEqual(picture.content[0]);
  // Also where the frame is published on a stream that has nothing to do with the copy's.
  picture.paint(1);
  using again = eglImport(picture);
  using second = publisher.acquire();
  double.hold();
  second.copyFrom(again, { stream });
  second.publish({ stream: gpu.stream() });
  double.awaitHeld(1);
  await expect(subscriber.next({ timeout: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
  double.resume();
  using seen = await subscriber.next();
  expect(await planeOf(seen, 0)).toEqual(picture.content[0]);
}, onDouble);

claim("a buffer that comes again is registered once; 32 that are idle are kept", () => {
  using gpu = Gpu.open();
  const double = gpu.double!;
  const egl = new EglDouble();
  const registered = () => double.calls("cuGraphicsEGLRegisterImage");
  const pool = Array.from({ length: 40 }, (_, seed) => new Picture("R8", { seed }));
  for (let round = 0; round < 3; round++) {
    for (const picture of pool.slice(0, 8)) eglImport(picture).close();
  }
  expect(registered()).toBe(8);
  // Another descriptor of the same buffer is the same buffer; another geometry is not.
  const again = openSync(`/proc/self/fd/${pool[0]!.planes[0]!.fd}`, "r");
  eglImport(pool[0]!, { planes: [{ ...pool[0]!.planes[0]!, fd: again }] }).close();
  closeSync(again);
  expect(registered()).toBe(8);
  eglImport(pool[0]!, { height: 34 }).close();
  expect(registered()).toBe(9);
  const held = eglImport(pool[1]!);
  for (const picture of pool) eglImport(picture).close();
  expect(egl.images()).toBe(33);
  // The oldest went, the newest and those in use did not.
  double.fail("");
  eglImport(pool[39]!).close();
  eglImport(pool[1]!).close();
  expect(registered()).toBe(0);
  eglImport(pool[0]!).close();
  expect(registered()).toBe(1);
  trimImports();
  expect(egl.images()).toBe(1);
  held.close();
  trimImports();
  expect([egl.images(), double.live().linear, double.live().contexts]).toEqual([0, 0, 1]);
  for (const picture of pool) picture[Symbol.dispose]();
}, onDouble);

claim("10 000 imports leave nothing behind", () => {
  using gpu = Gpu.open();
  const egl = new EglDouble();
  const before = openDescriptors().length;
  const publisher = createPublisher({ width: 61, height: 35, format: "GRAY8", memory: "host" });
  for (let round = 0; round < 500; round++) {
    using picture = new Picture("R8", { seed: round });
    for (let again = 0; again < 20; again++) {
      using image = eglImport(picture);
      if (again > 0) continue;
      using frame = publisher.acquire();
      frame.copyFrom(image);
    }
  }
  publisher.close();
  expect(egl.images()).toBeLessThanOrEqual(32);
  trimImports();
  expect(egl.images()).toBe(0);
  expect(gpu.double!.live()).toMatchObject({ linear: 0, contexts: 1, events: 0, mappings: 0 });
  expect(openDescriptors().length).toBe(before);
}, { ...onDouble, timeout: 120_000 });

claim("an EGLImage of the caller's is the same picture, and stays the caller's", async () => {
  using gpu = Gpu.open();
  const egl = new EglDouble();
  const display = egl.display(1);
  for (
    const [fourcc, format] of [["ABGR8888", "RGBA"], ["ARGB8888", "BGRA"], ["R8", "GRAY8"], [
      "NV12",
      "NV12",
    ]] as const
  ) {
    using picture = new Picture(fourcc);
    const handle = egl.createPicture(display, picture);
    using publisher = createPublisher({ width: 61, height: 35, format });
    {
      using image = importEglImage(display, handle);
      expect(image).toMatchObject({ fourcc, width: 61, height: 35, memory: "cuda" });
      using seen = await published(publisher, (frame) => frame.copyFrom(image));
      expect(await planeOf(seen.frame, 0)).toEqual(picture.content[0]);
    }
    expect(egl.images()).toBe(1);
    egl.destroyImage(display, handle);
  }
  using picture = new Picture("XRGB8888");
  const handle = egl.createPicture(display, picture);
  // What the driver cannot tell, the caller does; what it can, the caller may not contradict.
  using named = importEglImage(display, handle, { fourcc: "XR24" });
  expect(named.fourcc).toBe("XRGB8888");
  expect(refusalOf(() => importEglImage(display, handle, { fourcc: "NV12" })).code).toBe("FORMAT");
  expect(refusalOf(() => importEglImage(0n, handle)).message).toMatch(/display 0x0 is not an EGLDisplay/);
  expect(refusalOf(() => importEglImage(0x1234n, handle)).message).toMatch(
    /display 0x1234 is not an EGLDisplay/,
  );
  expect(refusalOf(() => importEglImage(display, 0n)).message).toMatch(/EGL_NO_IMAGE/);
  expect(refusalOf(() => importEglImage(display, 0x5678n)).code).toBe("CUDA");
  expect(refusalOf(() => importEglImage(display, handle, { device: 5 })).code).toBe("INVALID_ARGUMENT");
  using ten = new Picture("XRGB2101010");
  const unclear = egl.createPicture(display, ten);
  expect(refusalOf(() => importEglImage(display, unclear)).message).toMatch(
    /color format 0x7.* which says no fourcc/,
  );
  named.close();
  expect(egl.images()).toBe(2);
  for (const each of [handle, unclear]) egl.destroyImage(display, each);
  await eventually("all is given back", () => isSubset({ linear: 0, contexts: 1 }, gpu.double!.live()));
}, onDouble);

claim("formats are listed, and a layout that is none of them is refused with the list", () => {
  const formats = dmabufFormats({ memory: "cuda" });
  expect(formats).toHaveLength(25);
  expect(formats).toContainEqual({ fourcc: "NV12", modifier: tiled });
  expect(formats).toContainEqual({ fourcc: "YUYV", modifier: undefined });
  using picture = new Picture("NV12");
  const { code, message } = refusalOf(() => eglImport(picture, { modifier: 99n }));
  expect(code).toBe("FORMAT");
  expect(message).toMatch(/modifier 0x63 .* NV12.*NV12:0x0, NV12:0x300000000606010/s);
  expect(refusalOf(() => eglImport(picture, { fourcc: "NV21" })).code).toBe("FORMAT");
}, onDouble);

const lacking: [
  what: string,
  environment: Record<string, string>,
  code: string,
  message: RegExp,
  modifier?: bigint,
][] = [
  [
    "no EGL device that is the CUDA device",
    { EGL_DOUBLE_DEVICES: "-,1" },
    "UNSUPPORTED",
    /no EGL device is the CUDA device 0: EGL has 2 devices, 1 of them/,
  ],
  ["no EGL device at all", { EGL_DOUBLE_DEVICES: "x" }, "UNSUPPORTED", /no EGL device is the CUDA device 0/],
  [
    "EGL without devices",
    { EGL_DOUBLE_MISSING: "EGL_EXT_device_base" },
    "UNSUPPORTED",
    /no EGL_EXT_device_base/,
  ],
  [
    "EGL without their platform",
    { EGL_DOUBLE_MISSING: "EGL_EXT_platform_device" },
    "UNSUPPORTED",
    /no EGL_EXT_platform_device/,
  ],
  [
    "EGL without dma-bufs",
    { EGL_DOUBLE_MISSING: "EGL_EXT_image_dma_buf_import" },
    "UNSUPPORTED",
    /no EGL_EXT_image_dma_buf_import/,
  ],
  [
    "EGL without images",
    { EGL_DOUBLE_MISSING: "EGL_KHR_image_base" },
    "UNSUPPORTED",
    /no EGL_KHR_image_base/,
  ],
  [
    "a modifier without its extension",
    { EGL_DOUBLE_MISSING: "EGL_EXT_image_dma_buf_import_modifiers" },
    "UNSUPPORTED",
    /modifier 0x0: this EGL has no EGL_EXT_image_dma_buf_import_modifiers/,
    0n,
  ],
  [
    "no DRM node",
    { EGL_DOUBLE_DRM_NODE: "", EGL_DOUBLE_REFUSE: "0x3003" },
    "UNSUPPORTED",
    /EGL_BAD_ALLOC. This GPU has no DRM node/,
  ],
  [
    "a DRM node that this process was not given",
    { EGL_DOUBLE_DRM_NODE: "/dev/dri/none", EGL_DOUBLE_REFUSE: "0x3003" },
    "UNSUPPORTED",
    /no DRM node/,
  ],
  [
    "EGL that is out of memory",
    { EGL_DOUBLE_REFUSE: "0x3003" },
    "OUT_OF_MEMORY",
    /eglCreateImageKHR failed: EGL_BAD_ALLOC$/,
  ],
  ["EGL that does not like the picture", { EGL_DOUBLE_REFUSE: "0x3009" }, "FORMAT", /EGL_BAD_MATCH/],
  [
    "EGL that does not like the attributes",
    { EGL_DOUBLE_REFUSE: "0x3004" },
    "INVALID_ARGUMENT",
    /EGL_BAD_ATTRIBUTE/,
  ],
  ["EGL that denies it", { EGL_DOUBLE_REFUSE: "0x3002" }, "PERMISSION", /EGL_BAD_ACCESS/],
];

claim("what is missing is named, and nothing is left of the attempt", () => {
  using picture = new Picture("NV12");
  for (const [what, environment, code, message, modifier] of lacking) {
    const before = openDescriptors();
    const given = modifier === undefined ? {} : { modifier };
    for (const [name, value] of Object.entries(environment)) setEnvironment(name, value);
    const refusal = refusalOf(() => eglImport(picture, given));
    expect([refusal.code, refusal.message], what).toEqual([code, expect.stringMatching(message)]);
    expect(openDescriptors(), what).toEqual(before);
    // Of its own accord the library reads it with the CPU then.
    using image = importDmabuf({ ...picture.options, ...given });
    expect(image.memory, what).toBe("host");
    for (const name of Object.keys(environment)) setEnvironment(name, undefined);
  }
  // Where the CPU cannot either, both say why.
  setEnvironment("EGL_DOUBLE_MISSING", "EGL_EXT_image_dma_buf_import_modifiers");
  expect(refusalOf(() => importDmabuf({ ...picture.options, modifier: tiled }))).toMatchObject({
    code: "FORMAT",
    message: expect.stringMatching(/the CPU reads linear .*; nor can the GPU: .* this EGL has no EGL_EXT/s),
  });
  setEnvironment("EGL_DOUBLE_MISSING", undefined);
  using image = importDmabuf(picture.options);
  expect(image.memory).toBe("cuda");
}, onDouble);

claim("every field that is wrong is named", () => {
  using picture = new Picture("NV12");
  const [luma, chroma] = picture.planes as [(typeof picture.planes)[0], (typeof picture.planes)[0]];
  const null_ = openSync("/dev/null", "r");
  const wrong: [object, RegExp][] = [
    [{ planes: [luma] }, /planes has 1 entries: NV12 has 2/],
    [{ planes: [luma, chroma, chroma] }, /planes has 3 entries/],
    [{ planes: [{ ...luma, fd: 1_000_000 }, chroma] }, /planes\[0\]\.fd is 1000000, which is not open/],
    [
      { planes: [luma, { ...chroma, fd: null_ }] },
      /planes\[1\]\.fd is \d+, which is neither a dma-buf nor a memfd/,
    ],
    [{ planes: [luma, { ...chroma, fd: -1 }] }, /planes\[1\]\.fd is -1/],
    [{ planes: [{ ...luma, stride: 60 }, chroma] }, /planes\[0\]\.stride is 60: a row has 61 bytes/],
    [
      { planes: [luma, { ...chroma, offset: 1 << 20 }] },
      /planes\[1\]\.offset is 1048576: the buffer has \d+ bytes/,
    ],
    [
      { planes: [luma, { ...chroma, stride: chroma.stride + 3 }] },
      /planes\[1\]: 18 rows .* end at byte \d+, but the buffer has/,
    ],
    [{ width: 0 }, /width is 0/],
    [{ height: 16385 }, /height is 16385/],
    [{ modifier: -1n }, /modifier is -1/],
    [{ device: "GPU-1" }, /device "GPU-1"/],
  ];
  const before = openDescriptors().length;
  for (const [options, message] of wrong) {
    for (const memory of ["cuda", "host"]) {
      if (memory === "host" && "device" in options) continue;
      const refusal = refusalOf(() => eglImport(picture, { memory, ...options }));
      expect(refusal.message).toMatch(message);
      expect(refusal.code).toBe("INVALID_ARGUMENT");
    }
  }
  expect(openDescriptors().length).toBe(before);
  closeSync(null_);
}, onDouble);

claim("an image on another GPU than the ring is refused", () => {
  using picture = new Picture("R8");
  using publisher = createPublisher({ width: 61, height: 35, format: "GRAY8" });
  using image = eglImport(picture, { device: 1 });
  using frame = publisher.acquire();
  expect(image.device).not.toBe(publisher.device);
  expect(refusalOf(() => frame.copyFrom(image)).code).toBe("DEVICE_MISMATCH");
}, { ...onDouble, environment: { CUDA_DOUBLE_DEVICES: "2" } });

claim("the GPU's frame that is not the picture is refused", () => {
  const egl = new EglDouble();
  const display = egl.display(1);
  using picture = new Picture("R8");
  using publisher = createPublisher({ width: 61, height: 36, format: "GRAY8" });
  using image = importEglImage(display, egl.createPicture(display, picture));
  using frame = publisher.acquire();
  expect(refusalOf(() => frame.copyFrom(image)).message).toMatch(/61×35 does not fill a frame of 61×36/);
}, onDouble);

claim("a frame's dma-buf is its slot", async () => {
  using publisher = createPublisher({ width: 61, height: 35, format: "GRAY8" });
  using seen = await published(publisher, (frame) => frame.write(new Uint8Array(61 * 35).fill(7)));
  const fd = seen.frame.exportDmabuf();
  using memory = Memfd.of(fd, 2 << 20);
  const { offset, stride } = publisher.planes[0]!;
  expect(memory.bytes[offset + 34 * stride + 60]).toBe(7);
  closeDescriptor(fd);
  seen.frame.close();
  expect(refusalOf(() => seen.frame.exportDmabuf()).code).toBe("INVALID_ARGUMENT");
}, onDouble);

claim("a GPU that makes no dma-bufs says so", async () => {
  using publisher = createPublisher();
  using seen = await published(publisher, () => {});
  expect(refusalOf(() => seen.frame.exportDmabuf())).toMatchObject({ code: "UNSUPPORTED" });
}, { ...onDouble, environment: { CUDA_DOUBLE_NO_DMA_BUF: "all" } });

/** Every function of a driver table. */
const declaredIn = (table: string) =>
  [...readFileSync(join(root, table), "utf8").matchAll(/^ +\w+\(\s*"((?:cu|egl)\w+)"/gm)].map(([, name]) =>
    name!
  );

const CUDA_ERROR_OPERATING_SYSTEM = 304;
const EGL_BAD_ACCESS = 0x3002;

type State = Record<string, number>;

/** What stays behind when one of the calls that give something back fails: the thing itself, and what it rests on. */
const leftBy: Readonly<Record<string, State>> = {
  cuGraphicsUnregisterResource: { linear: 2, descriptors: 2 },
  cuEventDestroy_v2: { events: 1 },
  cuStreamDestroy_v2: { streams: 1 },
  cuDevicePrimaryCtxRelease_v2: { contexts: 1 },
  eglDestroyImageKHR: { images: 1, descriptors: 2 },
};

/** What belongs to a context that cannot be made current stays with it. */
const mayStay: Readonly<Record<string, string[]>> = {
  cuCtxPushCurrent_v2: ["streams", "events", "linear", "descriptors"],
  // If it was on this thread.
  cuCtxPopCurrent_v2: ["contextDepth"],
};

/** Runs a scenario once for each call that it makes of EGL and CUDA, with that call failing; nothing is left of it. */
async function withEachFault(gpu: Gpu, egl: EglDouble, scenario: () => void): Promise<string[]> {
  const double = gpu.double!;
  const drivers = [
    { of: double, names: declaredIn("zig/src/cuda/abi.zig"), error: CUDA_ERROR_OPERATING_SYSTEM },
    // These two say how the others ended, and where they are: see "a function that EGL does not have".
    {
      of: egl,
      names: declaredIn("zig/src/egl/abi.zig").filter((name) =>
        !["eglGetError", "eglGetProcAddress"].includes(name)
      ),
      error: EGL_BAD_ACCESS,
    },
  ];
  const state = (): State => ({
    ...double.live(),
    images: egl.images(),
    descriptors: openDescriptors().length,
  });
  const settled = () => eventually("the context is let go", () => double.live().contexts === 1);
  scenario();
  await settled();
  const clean = state();
  for (const { of } of drivers) of.fail("");
  scenario();
  await settled();
  expect(state()).toEqual(clean);
  const counts = drivers.flatMap(({ of, names, error }) =>
    names.map((name) => ({ of, name, error, count: Number(of.calls(name)) }))
  ).filter(({ count }) => count > 0);
  for (const { of, name, error, count } of counts) {
    for (let nth = 1; nth <= count; nth++) {
      const where = `call ${nth} of ${name} failed`;
      const before = state();
      of.fail(`${name}:${nth}=${error}`);
      let thrown: unknown;
      try {
        scenario();
      } catch (reason) {
        thrown = reason;
      }
      const left = () => {
        const entries = Object.entries(state()).map(([key, value]) => [key, value - before[key]!] as const);
        return Object.fromEntries(
          entries.filter(([key, value]) => value !== 0 && !mayStay[name]?.includes(key)),
        );
      };
      const expected = Number(of.calls(name)) >= nth ? leftBy[name] ?? {} : {};
      await eventually(where, () => isSame(left(), expected)).catch(() =>
        expect(left(), where).toEqual(expected)
      );
      of.fail("");
      if (thrown !== undefined) expect(thrown, where).toBeInstanceOf(CuframesError);
      else expect(withoutError.has(name), `${where}, and nobody was told`).toBe(true);
    }
  }
  return counts.map(({ name }) => name);
}

/** Calls that give back, or wait: nothing of the caller's depends on them. */
const withoutError = new Set([
  ...Object.keys(leftBy),
  "cuCtxPopCurrent_v2",
  "cuCtxPushCurrent_v2",
  "cuEventSynchronize",
  "cuStreamSynchronize",
  // The DRM node is only for the words of a refusal.
  "eglQueryDeviceStringEXT",
]);

claim("each call that an import makes fails once, and leaves nothing", async () => {
  using gpu = Gpu.open();
  const egl = new EglDouble();
  const display = egl.display(1);
  using picture = new Picture("NV12", { separate: true });
  const own = egl.createPicture(display, picture);
  const called = await withEachFault(gpu, egl, () => {
    try {
      dmabufFormats({ memory: "cuda" });
      using _image = eglImport(picture, { modifier: 0n });
      using _other = importEglImage(display, own, { fourcc: "NV12" });
    } finally {
      trimImports();
    }
  });
  expect(called).toEqual(expect.arrayContaining([
    "cuGraphicsEGLRegisterImage",
    "cuGraphicsResourceGetMappedEglFrame",
    "cuGraphicsUnregisterResource",
    "cuArrayGetDescriptor_v2",
    ...declaredIn("zig/src/egl/abi.zig").filter((name) => !/GetError|GetProcAddress/.test(name)),
  ]));
}, { ...onDouble, timeout: 120_000 });

claim("each call that a copy out of an image makes fails once, and leaves nothing", async () => {
  using gpu = Gpu.open();
  using picture = new Picture("NV12", { separate: true });
  const geometry = { width: 61, height: 35, memory: "host", slots: 2 } as const;
  const called = await withEachFault(gpu, new EglDouble(), () => {
    try {
      using publisher = createPublisher(geometry);
      using image = eglImport(picture);
      using frame = publisher.acquire();
      frame.copyFrom(image);
      frame.copyFrom(image);
    } finally {
      trimImports();
    }
  });
  expect(called).toEqual(
    expect.arrayContaining(["cuMemcpy2DAsync_v2", "cuEventRecord", "cuStreamWaitEvent"]),
  );
}, { ...onDouble, timeout: 120_000 });

/** Of the copies of one scenario the last is for a frame that is given back: it is waited for instead. */
const ofGivingBack = new Set(["cuStreamWaitEvent", "cuEventRecord", "cuEventCreate"]);

claim("each call that a copy from GPU to GPU makes fails once; the frame is as free as before", async () => {
  using gpu = Gpu.open();
  const double = gpu.double!;
  const stream = gpu.stream();
  using picture = new Picture("NV12", { separate: true });
  const scenario = () => {
    try {
      using publisher = createPublisher({ width: 61, height: 35, slots: 2 });
      using image = eglImport(picture);
      using frame = publisher.acquire();
      frame.copyFrom(image, { stream });
      frame.copyFrom(image);
    } finally {
      trimImports();
    }
  };
  const settled = () => eventually("the contexts are let go", () => double.live().contexts === 1);
  scenario();
  await settled();
  const clean = { ...double.live(), descriptors: openDescriptors().length };
  double.fail("");
  scenario();
  await settled();
  const names = ["cuMemcpy2DAsync_v2", ...ofGivingBack];
  const counts = names.map((name) => double.calls(name));
  for (const [index, name] of names.entries()) {
    for (let nth = 1; nth <= counts[index]!; nth++) {
      double.fail(`${name}:${nth}=${CUDA_ERROR_OPERATING_SYSTEM}`);
      const isLast = nth === counts[index] && ofGivingBack.has(name);
      const where = `call ${nth} of ${name}`;
      if (isLast) scenario();
      else expect(refusalOf(scenario), where).toMatchObject({ code: "CUDA" });
      double.fail("");
      await settled();
      expect({ ...double.live(), descriptors: openDescriptors().length }, where).toEqual(clean);
    }
  }
}, { ...onDouble, timeout: 120_000 });

const functionless = [
  ["EGL", "EGL_DOUBLE_MISSING", "eglCreateImageKHR"],
  ["CUDA driver", "CUDA_DOUBLE_MISSING", "cuGraphicsEGLRegisterImage"],
] as const;

for (const [driver, setting, missing] of functionless) {
  claim(`a function that the ${driver} does not have is named`, () => {
    using picture = new Picture("NV12");
    expect(refusalOf(() => eglImport(picture))).toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining(`this ${driver} has no ${missing}`),
    });
  }, { ...onDouble, environment: { [setting]: missing } });
}

await runClaim();
