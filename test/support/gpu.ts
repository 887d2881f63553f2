// The CUDA driver as a test uses it by itself, beside the library: memory, streams and work of its own. With the
// double of libcuda.so.1 its controls do what kernels do on a GPU.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/toolchain.mjs";
import { type Functions, open, viewAt } from "./foreign.ts";

const driverTable = {
  cuInit: [["u32"], "i32"],
  cuGetErrorName: [["i32", "buffer"], "i32"],
  cuDeviceGet: [["buffer", "i32"], "i32"],
  cuDevicePrimaryCtxRetain: [["buffer", "i32"], "i32"],
  cuDevicePrimaryCtxRelease_v2: [["i32"], "i32"],
  cuCtxPushCurrent_v2: [["u64"], "i32"],
  cuCtxPopCurrent_v2: [["buffer"], "i32"],
  cuMemGetInfo_v2: [["buffer", "buffer"], "i32"],
  cuMemAlloc_v2: [["buffer", "u64"], "i32"],
  cuMemFree_v2: [["u64"], "i32"],
  cuMemHostAlloc: [["buffer", "u64", "u32"], "i32"],
  cuMemFreeHost: [["u64"], "i32"],
  cuMemcpyDtoHAsync_v2: [["u64", "u64", "u64", "u64"], "i32"],
  cuMemcpyHtoDAsync_v2: [["u64", "u64", "u64", "u64"], "i32"],
  cuMemcpyDtoDAsync_v2: [["u64", "u64", "u64", "u64"], "i32"],
  cuMemcpy2DAsync_v2: [["buffer", "u64"], "i32"],
  cuMemsetD8Async: [["u64", "u32", "u64", "u64"], "i32"],
  cuStreamCreateWithPriority: [["buffer", "u32", "i32"], "i32"],
  cuStreamDestroy_v2: [["u64"], "i32"],
  cuStreamSynchronize: [["u64"], "i32"],
  cuStreamQuery: [["u64"], "i32"],
} as const;

const kernelTable = {
  cuModuleLoadData: [["buffer", "buffer"], "i32"],
  cuModuleUnload: [["u64"], "i32"],
  cuModuleGetFunction: [["buffer", "u64", "buffer"], "i32"],
  cuLaunchKernel: [["u64", "u32", "u32", "u32", "u32", "u32", "u32", "u32", "u64", "u64", "u64"], "i32"],
} as const;

/** See test/cuda_double/control.zig. */
const doubleTable = {
  cudoubleLive: [["buffer"], "void"],
  cudoubleFail: [["buffer"], "i32"],
  cudoubleCalls: [["buffer"], "u64"],
  cudoubleSetDelay: [["u32"], "void"],
  cudoubleHold: [["u32"], "void"],
  cudoubleWaitHeld: [["u32", "u32"], "u32"],
  cudoubleSlowFill: [["u64", "u32", "u64", "u32", "u64"], "i32"],
  cudoubleSlowCopy: [["u64", "u64", "u64", "u32", "u64"], "i32"],
  cudoublePeek: [["buffer", "u64", "u64"], "i32"],
} as const;

const libraryName = "libcuda.so.1";
const NOT_READY = 600;
const NON_BLOCKING = 1;

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

/** Somewhere for a driver call to put 8 bytes. */
class Out {
  readonly #value = new BigUint64Array(1);
  readonly bytes: Uint8Array = new Uint8Array(this.#value.buffer);

  get value(): bigint {
    return this.#value[0]!;
  }
}

/** Page-locked host memory. */
export interface Pinned {
  readonly address: bigint;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A failed driver call of a test's own. */
export class DriverError extends Error {
  /** As `"CUDA_ERROR_INVALID_VALUE"`. */
  readonly result: string;

  constructor(call: string, result: string) {
    super(`${call}: ${result}`);
    this.result = result;
  }
}

/** What of the double is alive in this process; see `Live` in test/cuda_double/control.zig. */
export interface Live {
  allocations: number;
  reservations: number;
  mappings: number;
  linear: number;
  pinned: number;
  streams: number;
  events: number;
  contexts: number;
  contextDepth: number;
  /** Calls so far that failed by themselves, such as one with a stale handle. */
  failedCalls: number;
}

/** Nothing alive. */
export const nothing: Readonly<Live> = {
  allocations: 0,
  reservations: 0,
  mappings: 0,
  linear: 0,
  pinned: 0,
  streams: 0,
  events: 0,
  contexts: 0,
  contextDepth: 0,
  failedCalls: 0,
};

/** The controls of the double that this process has for a driver. */
export class Double {
  readonly #functions: Functions<typeof doubleTable>;

  private constructor(functions: Functions<typeof doubleTable>) {
    this.#functions = functions;
  }

  /** Undefined where the driver is a real one, or there is none. */
  static find(): Double | undefined {
    try {
      return new Double(open(libraryName, doubleTable));
    } catch {
      return undefined;
    }
  }

  static open(): Double {
    const double = Double.find();
    if (double === undefined) throw new Error("this process does not run on the double of libcuda.so.1");
    return double;
  }

  live(): Live {
    const counts = new BigUint64Array(10);
    this.#functions.cudoubleLive(new Uint8Array(counts.buffer));
    const names = Object.keys(nothing) as (keyof Live)[];
    return Object.fromEntries(names.map((name, index) => [name, Number(counts[index])])) as unknown as Live;
  }

  /** Replaces the failures to inject, as `"cuMemCreate:3=2"`, and counts calls anew. */
  fail(rules: string): void {
    if (this.#functions.cudoubleFail(text(rules)) !== 0) {
      throw new Error(`the double does not understand ${JSON.stringify(rules)}`);
    }
  }

  /** Calls of a function since then. */
  calls(name: string): number {
    const count = this.#functions.cudoubleCalls(text(name));
    if (count === 2n ** 64n - 1n) throw new Error(`the double has no ${name}`);
    return Number(count);
  }

  /** What each copy or fill takes at least, from now on. */
  delay(microseconds: number): void {
    this.#functions.cudoubleSetDelay(microseconds);
  }

  /** Stops each copy or fill half-way. */
  hold(): void {
    this.#functions.cudoubleHold(1);
  }

  /** Waits until so many are stopped. */
  awaitHeld(count: number): void {
    if (this.#functions.cudoubleWaitHeld(count, 10_000) !== 1) {
      throw new Error(`${count} pieces of work were to stop half-way`);
    }
  }

  /** Lets all go on. */
  resume(): void {
    this.#functions.cudoubleHold(0);
  }

  /** What is in device memory at this moment, past all streams and access rights. */
  peek(address: bigint, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    if (this.#functions.cudoublePeek(bytes, address, BigInt(size)) !== 0) {
      throw new Error(`0x${address.toString(16)} is not device memory`);
    }
    return bytes;
  }

  slowFill(to: bigint, value: number, size: number, milliseconds: number, stream: bigint): number {
    return this.#functions.cudoubleSlowFill(to, value, BigInt(size), milliseconds, stream);
  }

  slowCopy(to: bigint, from: bigint, size: number, milliseconds: number, stream: bigint): number {
    return this.#functions.cudoubleSlowCopy(to, from, BigInt(size), milliseconds, stream);
  }
}

type KernelName = "slow_fill" | "slow_copy" | "count_mismatches";

/** The kernels of zig/kernels/test.c, loaded into a context. */
class Kernels {
  readonly #functions: Functions<typeof kernelTable>;
  readonly #module: bigint;
  readonly #entries = new Map<KernelName, bigint>();
  /** Holds each launch's arguments, and the list of where they are, which the driver reads during the call. */
  readonly #arguments: Pinned;

  constructor(check: Check, argumentMemory: Pinned) {
    const path = join(root, "zig/zig-out/share/test.ptx");
    if (!existsSync(path)) throw new Error(`${path} is missing: run \`zig build kernels\` in zig/`);
    this.#functions = open(libraryName, kernelTable);
    this.#arguments = argumentMemory;
    const module = new Out();
    check(
      "cuModuleLoadData",
      this.#functions.cuModuleLoadData(module.bytes, text(readFileSync(path, "utf8"))),
    );
    this.#module = module.value;
    for (const name of ["slow_fill", "slow_copy", "count_mismatches"] as const) {
      const entry = new Out();
      check(
        "cuModuleGetFunction",
        this.#functions.cuModuleGetFunction(entry.bytes, this.#module, text(name)),
      );
      this.#entries.set(name, entry.value);
    }
  }

  launch(name: KernelName, stream: bigint, ...values: bigint[]): number {
    const words = new BigUint64Array(this.#arguments.bytes.buffer, 0, 2 * values.length);
    values.forEach((value, index) => {
      words[index] = this.#arguments.address + BigInt(8 * (values.length + index));
      words[values.length + index] = value;
    });
    return this.#functions.cuLaunchKernel(
      this.#entries.get(name)!,
      1,
      1,
      1,
      256,
      1,
      1,
      0,
      stream,
      this.#arguments.address,
      0n,
    );
  }

  unload(): void {
    this.#functions.cuModuleUnload(this.#module);
  }
}

type Check = (call: string, result: number) => void;

/** One device's primary context, current on this thread from `open` to `close`. */
export class Gpu implements Disposable {
  readonly double: Double | undefined;
  readonly #driver: Functions<typeof driverTable>;
  readonly #device: number;
  readonly #streams: bigint[] = [];
  readonly #allocations: bigint[] = [];
  readonly #pinned: bigint[] = [];
  #kernels: Kernels | undefined;

  private constructor(driver: Functions<typeof driverTable>, device: number) {
    this.#driver = driver;
    this.#device = device;
    this.double = Double.find();
  }

  static open(ordinal = 0): Gpu {
    const driver = open(libraryName, driverTable);
    const gpu = new Gpu(driver, ordinal);
    gpu.#check("cuInit", driver.cuInit(0));
    const context = new Out();
    gpu.#check("cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(context.bytes, ordinal));
    gpu.#check("cuCtxPushCurrent", driver.cuCtxPushCurrent_v2(context.value));
    return gpu;
  }

  #check(call: string, result: number): void {
    if (result === 0) return;
    const name = new Out();
    this.#driver.cuGetErrorName(result, name.bytes);
    if (name.value === 0n) throw new DriverError(call, String(result));
    const bytes = viewAt(name.value, 64);
    throw new DriverError(call, new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0))));
  }

  get #kernel(): Kernels {
    return this.#kernels ??= new Kernels((call, result) => this.#check(call, result), this.pinned(4096));
  }

  /** A stream that does not wait for the legacy default stream. */
  stream(): bigint {
    const stream = new Out();
    this.#check("cuStreamCreate", this.#driver.cuStreamCreateWithPriority(stream.bytes, NON_BLOCKING, 0));
    this.#streams.push(stream.value);
    return stream.value;
  }

  destroyStream(stream: bigint): void {
    this.#streams.splice(this.#streams.indexOf(stream), 1);
    this.#check("cuStreamDestroy", this.#driver.cuStreamDestroy_v2(stream));
  }

  synchronize(stream: bigint): void {
    this.#check("cuStreamSynchronize", this.#driver.cuStreamSynchronize(stream));
  }

  /** Whether all of a stream's work is done. */
  isIdle(stream: bigint): boolean {
    const result = this.#driver.cuStreamQuery(stream);
    if (result === NOT_READY) return false;
    this.#check("cuStreamQuery", result);
    return true;
  }

  /** Device memory of the test's own. */
  allocate(size: number): bigint {
    const address = new Out();
    this.#check("cuMemAlloc", this.#driver.cuMemAlloc_v2(address.bytes, BigInt(size)));
    this.#allocations.push(address.value);
    return address.value;
  }

  /** Takes away one context more than `open` put on this thread's stack. */
  popContext(): void {
    this.#check("cuCtxPopCurrent", this.#driver.cuCtxPopCurrent_v2(new Out().bytes));
  }

  pinned(size: number): Pinned {
    const address = new Out();
    this.#check("cuMemHostAlloc", this.#driver.cuMemHostAlloc(address.bytes, BigInt(size), 0));
    this.#pinned.push(address.value);
    return { address: address.value, bytes: viewAt(address.value, size) };
  }

  fill(to: bigint, value: number, size: number, stream: bigint): void {
    this.#check("cuMemsetD8Async", this.#driver.cuMemsetD8Async(to, value, BigInt(size), stream));
  }

  copy(to: bigint, from: bigint, size: number, stream: bigint): void {
    this.#check("cuMemcpyDtoDAsync", this.#driver.cuMemcpyDtoDAsync_v2(to, from, BigInt(size), stream));
  }

  /** Copies a picture between places of the two kinds that CUDA has; `width` is of a row, in bytes. */
  copyPicture(
    to: { address: bigint; stride: number },
    from: { address: bigint; stride: number } | { array: bigint },
    { width, rows }: { width: number; rows: number },
    stream: bigint,
  ): void {
    const DEVICE = 2;
    const ARRAY = 3;
    // CUDA_MEMCPY2D of cuda.h.
    const command = new DataView(new ArrayBuffer(128));
    const word = (offset: number, value: bigint | number) =>
      command.setBigUint64(offset, BigInt(value), true);
    if ("array" in from) {
      word(16, ARRAY);
      word(40, from.array);
    } else {
      word(16, DEVICE);
      word(32, from.address);
      word(48, from.stride);
    }
    word(72, DEVICE);
    word(88, to.address);
    word(104, to.stride);
    word(112, width);
    word(120, rows);
    this.#check(
      "cuMemcpy2DAsync",
      this.#driver.cuMemcpy2DAsync_v2(new Uint8Array(command.buffer), stream),
    );
  }

  upload(to: bigint, from: Pinned, size: number, stream: bigint): void {
    this.#check(
      "cuMemcpyHtoDAsync",
      this.#driver.cuMemcpyHtoDAsync_v2(to, from.address, BigInt(size), stream),
    );
  }

  download(to: Pinned, from: bigint, size: number, stream: bigint): void {
    this.#check(
      "cuMemcpyDtoHAsync",
      this.#driver.cuMemcpyDtoHAsync_v2(to.address, from, BigInt(size), stream),
    );
  }

  /** Fills bit by bit over so many ms. */
  slowFill(to: bigint, value: number, size: number, milliseconds: number, stream: bigint): void {
    const result = this.double !== undefined
      ? this.double.slowFill(to, value, size, milliseconds, stream)
      : this.#kernel.launch(
        "slow_fill",
        stream,
        to,
        BigInt(value),
        BigInt(size),
        BigInt(milliseconds * 1_000_000),
      );
    this.#check("a slow fill", result);
  }

  /** Copies bit by bit over so many ms. */
  slowCopy(to: bigint, from: bigint, size: number, milliseconds: number, stream: bigint): void {
    const result = this.double !== undefined
      ? this.double.slowCopy(to, from, size, milliseconds, stream)
      : this.#kernel.launch("slow_copy", stream, to, from, BigInt(size), BigInt(milliseconds * 1_000_000));
    this.#check("a slow copy", result);
  }

  /** Counts bytes that are not as they should be, on the GPU where it is one, in the order of a stream. */
  verifier(sizeMax: number, stream: bigint): Verifier {
    if (this.double !== undefined) return new HostVerifier(this, sizeMax, stream);
    const count = this.allocate(4);
    const copy = this.pinned(4);
    this.fill(count, 0, 4, stream);
    return {
      check: (address, value, size) => {
        this.#check(
          "count_mismatches",
          this.#kernel.launch("count_mismatches", stream, address, BigInt(value), BigInt(size), count),
        );
      },
      mismatches: () => {
        this.download(copy, count, 4, stream);
        this.synchronize(stream);
        return new Uint32Array(copy.bytes.buffer, 0, 1)[0]!;
      },
    };
  }

  /** Bytes of the device's memory that nothing uses. */
  freeMemory(): number {
    const free = new Out();
    this.#check("cuMemGetInfo", this.#driver.cuMemGetInfo_v2(free.bytes, new Out().bytes));
    return Number(free.value);
  }

  /** Destroys what was made here. */
  close(): void {
    for (const stream of this.#streams.splice(0)) this.#driver.cuStreamDestroy_v2(stream);
    for (const address of this.#allocations.splice(0)) this.#driver.cuMemFree_v2(address);
    this.#kernels?.unload();
    for (const address of this.#pinned.splice(0)) this.#driver.cuMemFreeHost(address);
    this.#driver.cuCtxPopCurrent_v2(new Out().bytes);
    this.#driver.cuDevicePrimaryCtxRelease_v2(this.#device);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Queues looks at device memory, and says in the end how many bytes were wrong. */
export interface Verifier {
  check(address: bigint, value: number, size: number): void;
  mismatches(): number;
}

class HostVerifier implements Verifier {
  readonly #gpu: Gpu;
  readonly #stream: bigint;
  readonly #copy: Pinned;
  #mismatches = 0;

  constructor(gpu: Gpu, sizeMax: number, stream: bigint) {
    this.#gpu = gpu;
    this.#stream = stream;
    this.#copy = gpu.pinned(sizeMax);
  }

  check(address: bigint, value: number, size: number): void {
    this.#gpu.download(this.#copy, address, size, this.#stream);
    this.#gpu.synchronize(this.#stream);
    for (let index = 0; index < size; index++) if (this.#copy.bytes[index] !== value) this.#mismatches++;
  }

  mismatches(): number {
    return this.#mismatches;
  }
}

/** Bytes from a frame's begin to the end of its last plane. */
export function frameSize(
  of: { planes: readonly { offset: number; stride: number; rows: number }[] },
): number {
  return Math.max(...of.planes.map(({ offset, stride, rows }) => offset + stride * rows));
}

/** The bytes that are not `value`, as a number: 0 when all are. */
export function mismatches(bytes: Uint8Array, value: number): number {
  return bytes.reduce((count, byte) => byte === value ? count : count + 1, 0);
}
