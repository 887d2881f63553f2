// What a dma-buf is told to be when it is imported, and what is refused.

import { closeSync, constants, openSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { dmabufFormats, type DmabufOptions, type DrmFormat, importDmabuf } from "../../mod.ts";
import { Memfd, memfdDescriptors } from "../support/memfd.ts";
import { characters, Picture, refusalOf, shapes } from "../support/pictures.ts";

interface Plane {
  fd: number;
  offset: number;
  stride: number;
}

describe("what a picture is told to be", () => {
  test("its format by name, by four characters, by number", () => {
    for (const fourcc of Object.keys(shapes) as DrmFormat[]) {
      using picture = new Picture(fourcc);
      const text = characters[fourcc].padEnd(4);
      const number = new DataView(new TextEncoder().encode(text).buffer).getUint32(0, true);
      for (const given of [fourcc, characters[fourcc], text, number]) {
        using image = importDmabuf({ ...picture.options, fourcc: given });
        expect(image.fourcc).toBe(fourcc);
      }
    }
  });

  test("pairs of a format and a modifier are listed, and every other is refused with the list", () => {
    const formats = dmabufFormats({ memory: "host" });
    expect(formats).toEqual(Object.keys(shapes).map((fourcc) => ({ fourcc, modifier: 0n })));
    using picture = new Picture("NV12");
    // Linear; and DRM_FORMAT_MOD_INVALID, which names none.
    for (const modifier of [0n, 0x00ff_ffff_ffff_ffffn]) {
      importDmabuf({ ...picture.options, memory: "host", modifier }).close();
    }
    const wrong = { ...picture.options, memory: "host", modifier: 0x0100_0000_0000_0001n } as const;
    expect(refusalOf(() => importDmabuf(wrong))).toMatchObject({
      code: "FORMAT",
      message: expect.stringMatching(/modifier 0x100000000000001: .*NV12:0x0, P010:0x0/s),
    });
    for (
      const fourcc of ["NV21", "", "NV12 ", "\0\0\0\0", 0, -1, NaN, 0x3231564f, "__proto__", "constructor"]
    ) {
      const { code, message } = refusalOf(() => importDmabuf({ ...picture.options, fourcc }));
      expect([code, message]).toEqual(["FORMAT", expect.stringMatching(/XRGB8888, ARGB8888.*NV12, P010/)]);
    }
  });

  test("every field that is wrong is named, and no descriptor stays open", () => {
    using picture = new Picture("NV12");
    const [luma, chroma] = picture.planes as [Plane, Plane];
    const opened = ["/dev/null", "/", "/etc/passwd", "/proc/self/status"].map((path) => openSync(path, "r"));
    const foreign = (fd: number): [object, RegExp] => [
      { planes: [luma, { ...chroma, fd }] },
      /planes\[1\]\.fd is \d+, which is neither a dma-buf nor a memfd/,
    ];
    const wrong: [object, RegExp][] = [
      ...opened.map(foreign),
      foreign(0),
      ...[0, -1, 16385, 2 ** 31, 2 ** 32 + 61, 1.5, NaN, Infinity, "61", undefined].flatMap((value) => [
        [{ width: value }, /width/] as [object, RegExp],
        [{ height: value }, /height/] as [object, RegExp],
      ]),
      [{ planes: [] }, /planes has 0 entries: NV12 has 2/],
      [{ planes: [luma] }, /planes has 1 entries: NV12 has 2/],
      [{ planes: [luma, chroma, chroma] }, /planes has 3 entries: NV12 has 2/],
      [{ planes: [luma, chroma, chroma, chroma, chroma] }, /planes has 5 entries/],
      [{ planes: undefined }, /planes has undefined entries/],
      [{ planes: [luma, undefined] }, /planes\[1\] is undefined/],
      [{ planes: [luma, null] }, /planes\[1\] is null/],
      [{ planes: [luma, {}] }, /planes\[1\]\.fd/],
      [{ fourcc: "XRGB8888" }, /planes has 2 entries: XRGB8888 has 1/],
      [{ planes: [{ ...luma, fd: 1_000_000 }, chroma] }, /planes\[0\]\.fd is 1000000, which is not open/],
      ...[-1, 0.5, NaN, 2 ** 31, "3"].map((fd): [object, RegExp] => [
        { planes: [luma, { ...chroma, fd }] },
        /planes\[1\]\.fd/,
      ]),
      ...[-1, 0.5, NaN, 2 ** 53, Number.MAX_SAFE_INTEGER, 1 << 20].map((offset): [object, RegExp] => [
        { planes: [luma, { ...chroma, offset }] },
        /planes\[1\]\.offset/,
      ]),
      ...[0, -1, 61, 0.5, NaN, 2 ** 31, 2 ** 32 + 100].map((stride): [object, RegExp] => [
        { planes: [luma, { ...chroma, stride }] },
        /planes\[1\]\.stride/,
      ]),
      [
        { planes: [luma, { ...chroma, offset: chroma.offset + 200 }] },
        /planes\[1\]: 18 rows with a stride of \d+ from offset \d+ on end at byte \d+, but the buffer has \d+/,
      ],
      [
        { planes: [{ ...luma, stride: 0x7fffffff }, chroma] },
        /planes\[0\]: 35 rows with a stride of 2147483647/,
      ],
      ...[-1n, 1n << 64n, 0, "0"].map((modifier): [object, RegExp] => [{ modifier }, /modifier/]),
      [{ memory: "gpu" }, /memory/],
      [{ device: "x".repeat(60) }, /device/],
    ];
    const before = memfdDescriptors();
    for (const [options, message] of wrong) {
      const given = { ...picture.options, memory: "host", ...options } as unknown as DmabufOptions;
      const refusal = refusalOf(() => importDmabuf(given));
      expect(refusal.message).toMatch(message);
      expect(refusal.code, refusal.message).toBe("INVALID_ARGUMENT");
    }
    expect(memfdDescriptors()).toEqual(before);
    for (const fd of opened) closeSync(fd);
  });

  test("an empty buffer has no byte at any offset", () => {
    using file = new Memfd(4096, { sealed: false });
    file.shrink(0);
    const planes = [{ fd: file.fd, offset: 0, stride: 1 }];
    const empty = { width: 1, height: 1, fourcc: "R8", memory: "host", planes } as const;
    expect(refusalOf(() => importDmabuf({ ...empty, planes }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/planes\[0\]\.offset is 0: the buffer has 0 bytes/),
    });
  });

  test("memory that may not be read is refused", () => {
    using picture = new Picture("R8");
    const { fd, ...place } = picture.planes[0]!;
    const writable = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY);
    const refusal = refusalOf(() =>
      importDmabuf({ ...picture.options, planes: [{ ...place, fd: writable }] })
    );
    closeSync(writable);
    expect(refusal).toMatchObject({
      code: "PERMISSION",
      message: expect.stringMatching(/planes\[0\]\.fd can only be written/),
    });
  });
});
