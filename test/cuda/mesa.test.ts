// A real libEGL: Mesa's, which draws on the CPU and is no CUDA device. What the library finds there and what it says;
// beside it CUDA is the double. Debian: libegl1 libegl-mesa0 libgl1-mesa-dri libgles2.

import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { dmabufFormats, importDmabuf, importEglImage, trimImports } from "../../mod.ts";
import { claimsOf, doubleDirectory, refusalOf, runClaim } from "../support/cuda.ts";
import { Gl } from "../support/gl.ts";
import { Gpu } from "../support/gpu.ts";
import { openDescriptors } from "../support/memfd.ts";
import { Picture } from "../support/pictures.ts";
import { eventually } from "../support/processes.ts";

const vendor = "/usr/share/glvnd/egl_vendor.d/50_mesa.json";
const claim = claimsOf(import.meta.url);

/** Mesa alone, drawing with the CPU, also where another vendor's EGL is installed. */
function onMesa(vendors: string = vendor) {
  return {
    needsDouble: true,
    environment: {
      LD_LIBRARY_PATH: doubleDirectory,
      LIBGL_ALWAYS_SOFTWARE: "1",
      __EGL_VENDOR_LIBRARY_FILENAMES: vendors,
    },
  };
}

if (existsSync(vendor)) {
  claim(
    "no device of Mesa's is the CUDA device: told, with how many there are; the host is taken instead",
    () => {
      using picture = new Picture("NV12");
      const before = openDescriptors();
      for (
        const attempt of [
          () => importDmabuf({ ...picture.options, memory: "cuda" }),
          () => dmabufFormats({ memory: "cuda" }),
        ]
      ) {
        expect(refusalOf(attempt)).toMatchObject({
          code: "UNSUPPORTED",
          message: expect.stringMatching(
            /no EGL device is the CUDA device 0: EGL has [1-9]\d* devices, 0 of them with EGL_NV_device_cuda/,
          ),
        });
      }
      using image = importDmabuf(picture.options);
      expect(image.memory).toBe("host");
      image.close();
      expect(openDescriptors()).toEqual(before);
    },
    onMesa(),
  );

  claim("libEGL without any vendor's library", () => {
    using picture = new Picture("NV12");
    expect(refusalOf(() => importDmabuf({ ...picture.options, memory: "cuda" }))).toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(
        /this EGL has no EGL_|no EGL device is the CUDA device 0: EGL has 0 devices/,
      ),
    });
  }, onMesa("/nowhere.json"));

  claim("an image that Mesa drew is GL's to read, and not CUDA's to register", async () => {
    using gpu = Gpu.open();
    using gl = new Gl("surfaceless");
    expect(gl.renderer).toMatch(/llvmpipe|softpipe/);
    for (const format of ["ABGR8888", "GR88", "R8"] as const) {
      using texture = gl.texture(format, 61, 35);
      gl.draw(texture, 5);
      const channels = texture.expected(5).length / (61 * 35);
      const seen = gl.read(texture).filter((_, index) => index % 4 < channels);
      expect(seen, format).toEqual(texture.expected(5));

      const image = gl.createImage(texture);
      expect(refusalOf(() => importEglImage(gl.display, image))).toMatchObject({
        code: "CUDA",
        message: expect.stringContaining("cuGraphicsEGLRegisterImage"),
      });
      gl.destroyImage(image);
    }
    expect(refusalOf(() => importEglImage(gl.display, 0n))).toMatchObject({ code: "INVALID_ARGUMENT" });
    for (const display of [0n, 1n, gl.display + 8n]) {
      expect(refusalOf(() => importEglImage(display, 1n)).message).toMatch(/is not an EGLDisplay/);
    }
    trimImports();
    await eventually("the context is let go", () => gpu.double!.live().contexts === 1);
  }, onMesa());
} else {
  test.skip("Mesa's EGL is not installed (libegl1 libegl-mesa0 libgl1-mesa-dri libgles2)", () => {});
}

await runClaim();
