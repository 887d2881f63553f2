// EGLImages with known pixels on the device that CUDA has: textures that GL draws, or on the doubles memory.

import { EglDouble } from "./egl.ts";
import { Gl, type TextureFormat } from "./gl.ts";
import { Double } from "./gpu.ts";
import { Picture } from "./pictures.ts";

/** An EGLImage that can be painted again. */
export interface Painting extends Disposable {
  readonly image: bigint;
  readonly fourcc: TextureFormat;
  /** Changes every pixel; done when this returns. */
  paint(seed: number): void;
  /** The bytes of its rows without padding, once it was painted with that seed. */
  expected(seed: number): Uint8Array;
}

export interface Painter extends Disposable {
  readonly display: bigint;
  /** What paints. */
  readonly name: string;
  create(fourcc: TextureFormat, width: number, height: number): Painting;
}

/** On a GPU a GL context on the EGL device that is the CUDA device 0; on the doubles a stand-in for one. */
export function openPainter(): Painter {
  return Double.find() === undefined ? glPainter() : doublePainter();
}

function glPainter(): Painter {
  const gl = new Gl({ cudaDevice: 0 });
  return {
    display: gl.display,
    name: gl.renderer,
    create(fourcc, width, height) {
      const texture = gl.texture(fourcc, width, height);
      gl.draw(texture, 0);
      const image = gl.createImage(texture);
      return {
        image,
        fourcc,
        paint: (seed) => gl.draw(texture, seed),
        expected: (seed) => texture.expected(seed),
        [Symbol.dispose]() {
          gl.destroyImage(image);
          texture[Symbol.dispose]();
        },
      };
    },
    [Symbol.dispose]: () => gl[Symbol.dispose](),
  };
}

function doublePainter(): Painter {
  const egl = new EglDouble();
  const display = egl.display(1);
  return {
    display,
    name: "the double of libEGL.so.1",
    create(fourcc, width, height) {
      const picture = new Picture(fourcc, { width, height });
      const image = egl.createPicture(display, picture);
      return {
        image,
        fourcc,
        paint: (seed) => picture.paint(seed),
        expected(seed) {
          picture.paint(seed);
          return picture.content[0]!.slice();
        },
        [Symbol.dispose]() {
          egl.destroyImage(display, image);
          picture[Symbol.dispose]();
        },
      };
    },
    [Symbol.dispose]: () => {},
  };
}
