// A GL context of the test's own, without a window, through the machine's libEGL and libGLESv2 (or libOpenGL): textures
// whose every pixel a shader has drawn, and EGLImages of them.

import { addressOf, functionAt, type Functions, open, viewAt } from "./foreign.ts";

const eglTable = {
  eglGetProcAddress: [["buffer"], "u64"],
  eglGetError: [[], "i32"],
  eglQueryString: [["u64", "i32"], "u64"],
  eglGetPlatformDisplay: [["u32", "u64", "u64"], "u64"],
  eglInitialize: [["u64", "u64", "u64"], "u32"],
  eglTerminate: [["u64"], "u32"],
  eglBindAPI: [["u32"], "u32"],
  eglChooseConfig: [["u64", "buffer", "buffer", "i32", "buffer"], "u32"],
  eglCreateContext: [["u64", "u64", "u64", "buffer"], "u64"],
  eglDestroyContext: [["u64", "u64"], "u32"],
  eglMakeCurrent: [["u64", "u64", "u64", "u64"], "u32"],
  eglCreateImage: [["u64", "u64", "u32", "u64", "u64"], "u64"],
  eglDestroyImage: [["u64", "u64"], "u32"],
} as const;

const glTable = {
  glGetError: [[], "u32"],
  glGetString: [["u32"], "u64"],
  glGenTextures: [["i32", "buffer"], "void"],
  glDeleteTextures: [["i32", "buffer"], "void"],
  glBindTexture: [["u32", "u32"], "void"],
  glTexStorage2D: [["u32", "i32", "u32", "i32", "i32"], "void"],
  glGenFramebuffers: [["i32", "buffer"], "void"],
  glBindFramebuffer: [["u32", "u32"], "void"],
  glFramebufferTexture2D: [["u32", "u32", "u32", "u32", "i32"], "void"],
  glCheckFramebufferStatus: [["u32"], "u32"],
  glGenVertexArrays: [["i32", "buffer"], "void"],
  glBindVertexArray: [["u32"], "void"],
  glCreateShader: [["u32"], "u32"],
  glShaderSource: [["u32", "i32", "buffer", "u64"], "void"],
  glCompileShader: [["u32"], "void"],
  glGetShaderiv: [["u32", "u32", "buffer"], "void"],
  glGetShaderInfoLog: [["u32", "i32", "buffer", "buffer"], "void"],
  glCreateProgram: [[], "u32"],
  glAttachShader: [["u32", "u32"], "void"],
  glLinkProgram: [["u32"], "void"],
  glGetProgramiv: [["u32", "u32", "buffer"], "void"],
  glUseProgram: [["u32"], "void"],
  glGetUniformLocation: [["u32", "buffer"], "i32"],
  glUniform1i: [["i32", "i32"], "void"],
  glViewport: [["i32", "i32", "i32", "i32"], "void"],
  glDrawArrays: [["u32", "i32", "i32"], "void"],
  glPixelStorei: [["u32", "i32"], "void"],
  glReadPixels: [["i32", "i32", "i32", "i32", "u32", "u32", "buffer"], "void"],
  glFinish: [[], "void"],
} as const;

const EGL_NONE = 0x3038;
const EGL_VENDOR = 0x3053;
const EGL_EXTENSIONS = 0x3055;
const EGL_SURFACE_TYPE = 0x3033;
const EGL_PBUFFER_BIT = 1;
const EGL_RENDERABLE_TYPE = 0x3040;
const EGL_CONTEXT_MAJOR_VERSION = 0x3098;
const EGL_CONTEXT_MINOR_VERSION = 0x30fb;
const EGL_GL_TEXTURE_2D = 0x30b1;
const EGL_PLATFORM_DEVICE_EXT = 0x313f;
const EGL_PLATFORM_SURFACELESS_MESA = 0x31dd;
const EGL_CUDA_DEVICE_NV = 0x323a;

const GL_TRIANGLES = 4;
const GL_TEXTURE_2D = 0x0de1;
const GL_PACK_ALIGNMENT = 0x0d05;
const GL_UNSIGNED_BYTE = 0x1401;
const GL_RGBA = 0x1908;
const GL_RENDERER = 0x1f01;
const GL_FRAGMENT_SHADER = 0x8b30;
const GL_VERTEX_SHADER = 0x8b31;
const GL_COMPILE_STATUS = 0x8b81;
const GL_LINK_STATUS = 0x8b82;
const GL_COLOR_ATTACHMENT0 = 0x8ce0;
const GL_FRAMEBUFFER = 0x8d40;
const GL_FRAMEBUFFER_COMPLETE = 0x8cd5;

/** Which GL it is: GL ES where its library is there, else desktop GL. */
const dialects = [
  { library: "libGLESv2.so.2", api: 0x30a0, renderable: 0x40, version: [3, 0], shader: "#version 300 es\n" },
  {
    library: "libOpenGL.so.0",
    api: 0x30a2,
    renderable: 0x08,
    version: [3, 3],
    shader: "#version 330 core\n",
  },
] as const;

/** Of a texture that can be drawn into. */
export type TextureFormat = "ABGR8888" | "GR88" | "R8";

const textures: Readonly<Record<TextureFormat, { internal: number; channels: number }>> = {
  ABGR8888: { internal: 0x8058, channels: 4 },
  GR88: { internal: 0x822b, channels: 2 },
  R8: { internal: 0x8229, channels: 1 },
};

/** A channel's byte. */
function byteAt(x: number, y: number, channel: number, seed: number): number {
  return (x * (3 + 2 * channel) + y * (7 + channel) + seed * 17 + channel * 40) & 255;
}

/** One triangle over all of it. */
const vertexShader = `void main() {
  vec2 corner = vec2(float((gl_VertexID << 1) & 2), float(gl_VertexID & 2));
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

/** The same bytes as `byteAt`. */
const fragmentShader = `precision highp float;
precision highp int;
uniform int seed;
out vec4 color;
float channel(int number) {
  ivec2 at = ivec2(gl_FragCoord.xy);
  return float((at.x * (3 + 2 * number) + at.y * (7 + number) + seed * 17 + number * 40) & 255) / 255.0;
}
void main() {
  color = vec4(channel(0), channel(1), channel(2), channel(3));
}`;

function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${value}\0`);
}

function textAt(address: bigint): string {
  if (address === 0n) return "";
  const bytes = viewAt(address, 1 << 16);
  return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}

/** A number that a call writes. */
class Out {
  readonly #value = new Int32Array(1);
  readonly bytes: Uint8Array = new Uint8Array(this.#value.buffer);

  get value(): number {
    return this.#value[0]!;
  }
}

export type Platform = "surfaceless" | { cudaDevice: number };

/** A current context on one display. Throws, with the step that failed, where there can be none. */
export class Gl implements Disposable {
  /** EGLDisplay. */
  readonly display: bigint;
  readonly #egl: Functions<typeof eglTable>;
  #gl!: Functions<typeof glTable>;
  #context = 0n;
  /** Where the shader takes it. */
  #seed = -1;

  constructor(platform: Platform) {
    this.#egl = open("libEGL.so.1", eglTable);
    this.display = platform === "surfaceless"
      ? this.#egl.eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, 0n, 0n)
      : this.#egl.eglGetPlatformDisplay(EGL_PLATFORM_DEVICE_EXT, this.#device(platform.cudaDevice), 0n);
    this.#check("eglGetPlatformDisplay", this.display !== 0n);
    this.#check("eglInitialize", this.#egl.eglInitialize(this.display, 0n, 0n) === 1);
    const reasons: string[] = [];
    for (const dialect of dialects) {
      try {
        this.#gl = open(dialect.library, glTable);
        this.#context = this.#createContext(dialect);
        this.#seed = this.#useProgram(dialect.shader);
        return;
      } catch (error) {
        reasons.push(`${dialect.library}: ${error instanceof Error ? error.message : error}`);
        this.#end();
      }
    }
    throw new Error(`no GL on this display: ${reasons.join("; ")}`);
  }

  /** Of that dialect, current. */
  #createContext({ api, renderable, version: [major, minor] }: (typeof dialects)[number]): bigint {
    this.#check("eglBindAPI", this.#egl.eglBindAPI(api) === 1);
    const wanted = Int32Array.of(
      EGL_SURFACE_TYPE,
      EGL_PBUFFER_BIT,
      EGL_RENDERABLE_TYPE,
      renderable,
      EGL_NONE,
    );
    const config = new BigUint64Array(1);
    const count = new Out();
    const chosen = this.#egl.eglChooseConfig(
      this.display,
      new Uint8Array(wanted.buffer),
      new Uint8Array(config.buffer),
      1,
      count.bytes,
    );
    this.#check("eglChooseConfig", chosen === 1 && count.value === 1);
    const version = Int32Array.of(
      EGL_CONTEXT_MAJOR_VERSION,
      major,
      EGL_CONTEXT_MINOR_VERSION,
      minor,
      EGL_NONE,
    );
    const context = this.#egl.eglCreateContext(this.display, config[0]!, 0n, new Uint8Array(version.buffer));
    this.#check("eglCreateContext", context !== 0n);
    const current = this.#egl.eglMakeCurrent(this.display, 0n, 0n, context);
    this.#check("eglMakeCurrent, without a surface", current === 1);
    return context;
  }

  /** What draws: its name and its vendor. */
  get renderer(): string {
    return `${textAt(this.#gl.glGetString(GL_RENDERER))}; ${
      textAt(this.#egl.eglQueryString(this.display, EGL_VENDOR))
    }`;
  }

  /** The display's extensions. */
  get extensions(): string[] {
    return textAt(this.#egl.eglQueryString(this.display, EGL_EXTENSIONS)).split(" ");
  }

  #check(step: string, went: boolean): void {
    if (!went) throw new Error(`${step} failed: EGL error 0x${this.#egl.eglGetError().toString(16)}`);
  }

  #checkGl(step: string): void {
    const code = this.#gl.glGetError();
    if (code !== 0) throw new Error(`${step} failed: GL error 0x${code.toString(16)}`);
  }

  /** The EGL device that is a CUDA device. */
  #device(cudaDevice: number): bigint {
    const address = (name: string) => {
      const found = this.#egl.eglGetProcAddress(text(name));
      if (found === 0n) throw new Error(`this EGL has no ${name}`);
      return found;
    };
    const queryDevices = functionAt(address("eglQueryDevicesEXT"), ["i32", "buffer", "buffer"], "u32");
    const queryAttribute = functionAt(
      address("eglQueryDeviceAttribEXT"),
      ["u64", "i32", "buffer"],
      "u32",
    );
    const devices = new BigUint64Array(32);
    const count = new Out();
    this.#check("eglQueryDevicesEXT", queryDevices(32, new Uint8Array(devices.buffer), count.bytes) === 1);
    for (const device of devices.subarray(0, count.value)) {
      const ordinal = new BigInt64Array([-1n]);
      if (queryAttribute(device, EGL_CUDA_DEVICE_NV, new Uint8Array(ordinal.buffer)) !== 1) continue;
      if (Number(ordinal[0]) === cudaDevice) return device;
    }
    throw new Error(`none of ${count.value} EGL devices is the CUDA device ${cudaDevice}`);
  }

  #shader(kind: number, source: string): number {
    const shader = this.#gl.glCreateShader(kind);
    const bytes = text(source);
    const list = BigUint64Array.of(addressOf(bytes));
    this.#gl.glShaderSource(shader, 1, new Uint8Array(list.buffer), 0n);
    this.#gl.glCompileShader(shader);
    const compiled = new Out();
    this.#gl.glGetShaderiv(shader, GL_COMPILE_STATUS, compiled.bytes);
    if (compiled.value !== 1) {
      const log = new Uint8Array(1024);
      this.#gl.glGetShaderInfoLog(shader, log.length, new Out().bytes, log);
      throw new Error(`a shader is refused: ${new TextDecoder().decode(log.slice(0, log.indexOf(0)))}`);
    }
    return shader;
  }

  /** Returns where the seed goes. */
  #useProgram(head: string): number {
    const gl = this.#gl;
    const program = gl.glCreateProgram();
    gl.glAttachShader(program, this.#shader(GL_VERTEX_SHADER, head + vertexShader));
    gl.glAttachShader(program, this.#shader(GL_FRAGMENT_SHADER, head + fragmentShader));
    gl.glLinkProgram(program);
    const linked = new Out();
    gl.glGetProgramiv(program, GL_LINK_STATUS, linked.bytes);
    if (linked.value !== 1) throw new Error("the shaders are not linked");
    gl.glUseProgram(program);
    const names = new Out();
    gl.glGenVertexArrays(1, names.bytes);
    gl.glBindVertexArray(names.value);
    gl.glGenFramebuffers(1, names.bytes);
    gl.glBindFramebuffer(GL_FRAMEBUFFER, names.value);
    gl.glPixelStorei(GL_PACK_ALIGNMENT, 1);
    this.#checkGl("setting up");
    return gl.glGetUniformLocation(program, text("seed"));
  }

  /** A texture with nothing drawn yet. */
  texture(format: TextureFormat, width: number, height: number): Texture {
    const name = new Out();
    this.#gl.glGenTextures(1, name.bytes);
    this.#gl.glBindTexture(GL_TEXTURE_2D, name.value);
    this.#gl.glTexStorage2D(GL_TEXTURE_2D, 1, textures[format].internal, width, height);
    this.#checkGl("glTexStorage2D");
    return new Texture(this, name.value, format, width, height);
  }

  /** Draws into a texture; done when this returns. */
  draw({ name, width, height }: Texture, seed: number): void {
    const gl = this.#gl;
    gl.glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, name, 0);
    const status = gl.glCheckFramebufferStatus(GL_FRAMEBUFFER);
    if (status !== GL_FRAMEBUFFER_COMPLETE) throw new Error(`a framebuffer is 0x${status.toString(16)}`);
    gl.glViewport(0, 0, width, height);
    gl.glUniform1i(this.#seed, seed);
    gl.glDrawArrays(GL_TRIANGLES, 0, 3);
    gl.glFinish();
    this.#checkGl("drawing");
  }

  /** What GL itself reads back of what was drawn last: R, G, B, A for each pixel. */
  read({ width, height }: Texture): Uint8Array {
    const pixels = new Uint8Array(width * height * 4);
    this.#gl.glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    this.#checkGl("glReadPixels");
    return pixels;
  }

  /** An EGLImage of a texture. */
  createImage({ name }: Texture): bigint {
    const image = this.#egl.eglCreateImage(this.display, this.#context, EGL_GL_TEXTURE_2D, BigInt(name), 0n);
    this.#check("eglCreateImage of a texture", image !== 0n);
    return image;
  }

  destroyImage(image: bigint): void {
    this.#check("eglDestroyImage", this.#egl.eglDestroyImage(this.display, image) === 1);
  }

  /** For a texture's own end. */
  deleteTexture(name: number): void {
    this.#gl.glDeleteTextures(1, new Uint8Array(Int32Array.of(name).buffer));
  }

  #end(): void {
    this.#egl.eglMakeCurrent(this.display, 0n, 0n, 0n);
    if (this.#context !== 0n) this.#egl.eglDestroyContext(this.display, this.#context);
    this.#context = 0n;
  }

  /** Ends the context. The display stays, for others of the process use it. */
  [Symbol.dispose](): void {
    this.#end();
  }
}

export class Texture implements Disposable {
  readonly #gl: Gl;
  readonly name: number;
  readonly format: TextureFormat;
  readonly width: number;
  readonly height: number;

  constructor(gl: Gl, name: number, format: TextureFormat, width: number, height: number) {
    this.#gl = gl;
    this.name = name;
    this.format = format;
    this.width = width;
    this.height = height;
  }

  /** The bytes of its rows without padding, the lowest first, once it was drawn with that seed. */
  expected(seed: number): Uint8Array {
    const { channels } = textures[this.format];
    const bytes = new Uint8Array(this.width * this.height * channels);
    let at = 0;
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        for (let channel = 0; channel < channels; channel++) bytes[at++] = byteAt(x, y, channel, seed);
      }
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#gl.deleteTexture(this.name);
  }
}
