// A message that was received, and its descriptors.

import { closeDescriptor } from "./descriptors.ts";

/**
 * A message that arrived. Its descriptors belong to it until they are taken; `close()` closes the others. All are
 * close-on-exec.
 *
 * @example
 * ```ts
 * import { DescriptorSocket } from "@cuframes/core";
 *
 * using socket = await DescriptorSocket.connect("/run/app.sock");
 * using message = await socket.receive();
 * console.log(message.bytes.length, message.fds);
 * ```
 */
export class DescriptorMessage implements Disposable {
  /** The message's bytes; a copy, the receiver's. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #fds: number[];

  /** @internal Made by {@linkcode DescriptorSocket.receive}. */
  constructor(bytes: Uint8Array<ArrayBuffer>, fds: number[]) {
    this.bytes = bytes;
    this.#fds = fds;
  }

  /** The descriptors that came with it and were not taken, in the sender's order. To be used until `close()`. */
  get fds(): readonly number[] {
    return this.#fds;
  }

  /**
   * Takes all descriptors that are left: they are the caller's from now on, each to be closed once, with
   * {@linkcode closeDescriptor} or by whatever takes it over.
   */
  takeFds(): number[] {
    return this.#fds.splice(0);
  }

  /** Closes the descriptors that were not taken. Idempotent. */
  close(): void {
    for (const fd of this.#fds.splice(0)) closeDescriptor(fd);
  }

  /** Same as {@linkcode DescriptorMessage.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
