// The listening side of descriptor sockets.

import type { WaitQueue } from "../connect/mod.ts";
import { checkInteger, checkOptions, isCuframesError, optionNames, type WaitOptions } from "../core/mod.ts";
import { checked, library } from "../ffi/mod.ts";
import { encodeAddress } from "./address.ts";
import { DescriptorSocket } from "./descriptor_socket.ts";
import { NativeSocket } from "./native_socket.ts";

/** Options of {@linkcode DescriptorSocket.listen}. */
export interface ListenOptions {
  /**
   * Permission bits of the socket's file; default `0o660`. Who may not write to it cannot connect. An abstract address
   * has none: everybody in the network namespace may connect; look at {@linkcode DescriptorSocket.peer}.
   */
  mode?: number;
}

const LISTEN_OPTIONS = optionNames<ListenOptions>({ mode: true });

/**
 * Accepts connections on an address, until it is closed or its process ends. Made by {@linkcode DescriptorSocket.listen}.
 *
 * @example
 * ```ts
 * import { DescriptorSocket } from "@cuframes/core";
 *
 * using listener = DescriptorSocket.listen("/run/app.sock");
 * for await (using socket of listener) console.log(socket.peer.pid);
 * ```
 */
export class DescriptorListener implements Disposable, AsyncIterable<DescriptorSocket> {
  /** As it was given to {@linkcode DescriptorSocket.listen}. */
  readonly address: string;
  readonly #socket: NativeSocket;
  readonly #connections: WaitQueue<DescriptorSocket>;

  /** @internal Made by {@linkcode DescriptorSocket.listen}. */
  constructor(address: string, options: ListenOptions | undefined) {
    const { mode = 0o660 } = checkOptions(options, LISTEN_OPTIONS);
    const bytes = encodeAddress(address);
    checkInteger("mode", mode, 0, 0o777);
    const handle = checked(
      library().symbols.cuframes_socket_listen(bytes, bytes.length, mode),
      `listening on ${address}`,
    );
    this.address = address;
    this.#socket = new NativeSocket(handle, address, "DescriptorListener");
    this.#connections = this.#socket.queue(`connection to ${address}`, "readable", () => this.#tryAccept());
  }

  /**
   * The next connection, oldest first.
   *
   * @throws {CuframesError} `TIMEOUT`, `WOULD_BLOCK`: none came in time; `DISCONNECTED`: closed; `IO`: no descriptor is left
   */
  accept(options?: WaitOptions): Promise<DescriptorSocket> {
    return this.#connections.wait(options);
  }

  #tryAccept(): DescriptorSocket | undefined {
    const result = this.#socket.symbols.cuframes_socket_accept(this.#socket.handle(), 0);
    const handle = this.#socket.attempt(result, `accepting on ${this.address}`);
    return handle === undefined ? undefined : new DescriptorSocket(handle, `a peer of ${this.address}`);
  }

  /** Every connection, until the listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<DescriptorSocket, void, void> {
    while (!this.closed) {
      try {
        yield await this.accept();
      } catch (error) {
        if (this.closed && isCuframesError(error, "DISCONNECTED")) return;
        throw error;
      }
    }
  }

  /** Undoes {@linkcode DescriptorListener.unref}. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  /** From now on no pending accept keeps the process alive. */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Whether {@linkcode DescriptorListener.close} was called. */
  get closed(): boolean {
    return this.#socket.closed;
  }

  /** Stops listening, and removes the files. Connections that were accepted stay. Idempotent. */
  close(): void {
    this.#socket.close();
  }

  /** Same as {@linkcode DescriptorListener.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
