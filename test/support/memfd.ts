// Memory that a test hands over by descriptor, made with libc, and the descriptors that this process has open.

import { closeDescriptor } from "../../mod.ts";
import { open, viewAt } from "./foreign.ts";
import { descriptorsOf } from "./processes.ts";

const libc = open("libc.so.6", {
  memfd_create: [["buffer", "u32"], "i32"],
  ftruncate: [["i32", "u64"], "i32"],
  fcntl: [["i32", "i32", "u64"], "i32"],
  lseek: [["i32", "u64", "i32"], "u64"],
  mmap: [["u64", "u64", "i32", "i32", "i32", "u64"], "u64"],
  munmap: [["u64", "u64"], "i32"],
});

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_GETFD = 1;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** Of this test file alone: Bun runs two in one process. */
const memfdName = `test-${crypto.randomUUID()}`;

/** A descriptor of memory, mapped. */
export class Memfd implements Disposable {
  readonly fd: number;
  readonly size: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #address: bigint;
  readonly #owned: boolean;

  /** `sealed`: it can never become smaller. */
  constructor(size: number, options?: { sealed?: boolean });
  constructor(size: number, { sealed = true, fd }: { sealed?: boolean; fd?: number } = {}) {
    this.#owned = fd === undefined;
    this.fd = fd ?? create(size, sealed);
    this.size = size;
    this.#address = libc.mmap(0n, BigInt(size), PROT_READ_WRITE, MAP_SHARED, this.fd, 0n);
    this.bytes = viewAt(this.#address, size);
  }

  /** Somebody else's, whose descriptor stays open. */
  static of(fd: number, size: number): Memfd {
    return new Memfd(size, { fd } as { sealed?: boolean });
  }

  /** Makes it smaller under whoever has it. */
  shrink(size: number): void {
    if (libc.ftruncate(this.fd, BigInt(size)) !== 0) throw new Error("it is sealed");
  }

  [Symbol.dispose](): void {
    this.bytes.buffer.transfer(0);
    libc.munmap(this.#address, BigInt(this.size));
    if (this.#owned) closeDescriptor(this.fd);
  }
}

function create(size: number, sealed: boolean): number {
  const name = new TextEncoder().encode(`${memfdName}\0`);
  const fd = libc.memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || libc.ftruncate(fd, BigInt(size)) !== 0) throw new Error("no memfd");
  if (sealed && libc.fcntl(fd, F_ADD_SEALS, BigInt(F_SEAL_SHRINK)) !== 0) throw new Error("no seal");
  return fd;
}

/** Bytes of a buffer; a dma-buf tells only where its end is. */
export function sizeOf(fd: number): number {
  const SEEK_END = 2;
  return Number(BigInt.asIntN(64, libc.lseek(fd, 0n, SEEK_END)));
}

export function isOpen(fd: number): boolean {
  return libc.fcntl(fd, F_GETFD, 0n) >= 0;
}

export function isCloseOnExec(fd: number): boolean {
  return libc.fcntl(fd, F_GETFD, 0n) === 1;
}

/** The descriptors of this test file's {@linkcode Memfd}s, duplicates and received ones too. */
export function memfdDescriptors(): string[] {
  return openDescriptors().filter((target) => target.startsWith(`/memfd:${memfdName}`));
}

/** This process's descriptors of the kinds that tests hand over and the library makes: memory, dma-bufs, sockets. */
export function openDescriptors(): string[] {
  return descriptorsOf("self", /^(\/memfd:|\/dmabuf:|anon_inode:dmabuf)/);
}
