/** This file brings a file's bytes from the kernel's memory to the disk, where a power failure does not reach them. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import { CuframesError } from "../../core/mod.ts";

/**
 * The synchronization of one file with its disk, every so often: `fdatasync` on a thread of the runtime's, one at a time,
 * while the recording goes on. An error is told at the next {@linkcode DiskSync.check}.
 */
export class DiskSync {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #intervalMs: number;
  #running: Promise<void>;
  #busy = true;
  #dirty = false;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastMs = performance.now();
  #error: CuframesError | undefined;

  private constructor(path: string, file: FileHandle, intervalMs: number, first: Promise<void>) {
    this.#path = path;
    this.#file = file;
    this.#intervalMs = intervalMs;
    this.#running = this.#run(() => first);
  }

  /** Begins with the directory, so that the file is found under its name; undefined for what is no file: a device, a pipe. */
  static async open(path: string, seconds: number): Promise<DiskSync | undefined> {
    if (!(await stat(path)).isFile()) return undefined;
    return new DiskSync(path, await open(path, "r"), seconds * 1000, syncDirectory(dirname(path)));
  }

  /** There is something new in the file. */
  note(): void {
    this.#dirty = true;
    if (this.#busy || this.#closed || this.#timer !== undefined) return;
    const left = this.#intervalMs - (performance.now() - this.#lastMs);
    if (left <= 0) return this.#begin();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#begin();
    }, left);
    // The file is synchronized when it is closed: nothing is kept alive for it.
    this.#timer.unref();
  }

  /** @throws what a synchronization has failed with, once */
  check(): void {
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
  }

  /** Synchronizes what is left, and lets go of the file. @throws as {@linkcode DiskSync.check} */
  async close(): Promise<void> {
    await this.#end();
    try {
      this.check();
      await this.#run(() => this.#file.datasync());
      this.check();
    } finally {
      await this.#file.close();
    }
  }

  /** Lets go of a file that is not kept. */
  async abandon(): Promise<void> {
    await this.#end();
    await this.#file.close();
  }

  async #end(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #begin(): void {
    this.#dirty = false;
    this.#running = this.#run(() => this.#file.datasync());
  }

  async #run(call: () => Promise<void>): Promise<void> {
    this.#busy = true;
    this.#lastMs = performance.now();
    try {
      await call();
    } catch (cause) {
      const told = cause instanceof Error ? cause.message : String(cause);
      this.#error ??= new CuframesError("IO", `${this.#path}: the disk did not take it: ${told}`, { cause });
    } finally {
      this.#busy = false;
    }
    if (this.#dirty) this.note();
  }
}

/** Makes a directory's entries outlast a power failure. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
