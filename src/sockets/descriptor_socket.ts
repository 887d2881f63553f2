// A connection for messages with file descriptors.

import { connectSocket, type WaitQueue } from "../connect/mod.ts";
import { invalid, SOCKET_DESCRIPTORS_MAX, SOCKET_MESSAGE_SIZE_MAX, type WaitOptions } from "../core/mod.ts";
import { checked, Credentials, Received, Struct } from "../ffi/mod.ts";
import { encodeAddress } from "./address.ts";
import { DescriptorListener, type ListenOptions } from "./descriptor_listener.ts";
import { DescriptorMessage } from "./descriptor_message.ts";
import { checkDescriptor } from "./descriptors.ts";
import { NativeSocket } from "./native_socket.ts";

/** Who is on the other end of a socket, as the kernel says: the peer cannot choose it. */
export interface PeerCredentials {
  /** Process id; 0 where the peer's process has none in this PID namespace. */
  pid: number;
  /** User id. */
  uid: number;
  /** Group id. */
  gid: number;
}

/**
 * A connection to another process of this machine for short messages with file descriptors: dma-bufs, memfds. A message
 * arrives whole, with the descriptors that were sent with it, or not at all (`SOCK_SEQPACKET`).
 *
 * An address is a path, or `"@"` and a name in the kernel's abstract namespace, of up to 107 bytes (a path to listen on:
 * 102). A relative path is made absolute at once, and counts with all of its bytes. Waiting does not block the event
 * loop; while something waits the process stays alive, unless `unref` says otherwise. Every descriptor of the library is
 * close-on-exec.
 *
 * @example
 * ```ts
 * import { closeDescriptor, DescriptorSocket } from "@cuframes/core";
 *
 * using listener = DescriptorSocket.listen("/run/camera/frames.sock");
 * using connection = await listener.accept();
 * using message = await connection.receive();
 * console.log(connection.peer.pid, message.bytes, message.fds);
 * ```
 */
export class DescriptorSocket implements Disposable {
  /** Bytes of a message at most; at least 1. */
  static readonly maxMessageSize: number = SOCKET_MESSAGE_SIZE_MAX;
  /** Descriptors of a message at most: what the kernel allows. */
  static readonly maxDescriptors: number = SOCKET_DESCRIPTORS_MAX;
  readonly #socket: NativeSocket;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  readonly #received: Struct = new Struct(Received.SIZE);
  readonly #messages: WaitQueue<DescriptorMessage>;
  /** Sends that wait for room, which go out in the order of their calls. */
  readonly #room: WaitQueue<true>;

  /** @internal Made by {@linkcode DescriptorSocket.connect} and {@linkcode DescriptorListener.accept}. */
  constructor(handle: number, subject: string) {
    this.#socket = new NativeSocket(handle, subject, "DescriptorSocket");
    this.#buffer = new Uint8Array(SOCKET_MESSAGE_SIZE_MAX);
    this.#messages = this.#socket.queue(`message from ${subject}`, "readable", () => this.#tryReceive());
    this.#room = this.#socket.queue<true>(`room to send to ${subject}`, "writable", () => undefined);
  }

  /**
   * Connects to whoever listens on an address. `timeout`: how long to wait for somebody to do so, in milliseconds;
   * default 0, somebody must be there. For a path the wait ends when the socket appears; an abstract address is tried
   * every 20 ms.
   *
   * @throws {CuframesError} `NOT_FOUND`: nobody listens; `TIMEOUT`: nor did within `timeout`, or the listener's queue stayed
   * full for so long, or for two seconds; `PERMISSION`; `PROTOCOL`: a socket of another type; `INVALID_ARGUMENT`: not an
   * address
   */
  static async connect(address: string, options?: WaitOptions): Promise<DescriptorSocket> {
    const handle = await connectSocket(encodeAddress(address), `connecting to ${address}`, options);
    return new DescriptorSocket(handle, address);
  }

  /**
   * Listens on an address. The socket of a listener that has died is replaced. A path's lock is held on `<path>.lock`; both
   * files go with {@linkcode DescriptorListener.close}.
   *
   * @throws {CuframesError} `ALREADY_EXISTS`: somebody listens there, or something else than a socket is there; `PERMISSION`;
   * `NOT_FOUND`: no such directory; `INVALID_ARGUMENT`: not an address
   */
  static listen(address: string, options?: ListenOptions): DescriptorListener {
    return new DescriptorListener(address, options);
  }

  /** Who is on the other end: of an accepted connection, who connected; of any other, who began to listen. */
  get peer(): PeerCredentials {
    const struct = new Struct(Credentials.SIZE);
    checked(
      this.#socket.symbols.cuframes_socket_peer(this.#socket.handle(), struct.bytes),
      `asking for the peer of ${this.#socket.subject}`,
    );
    return {
      pid: struct.i32(Credentials.pid),
      uid: struct.u32(Credentials.uid),
      gid: struct.u32(Credentials.gid),
    };
  }

  /**
   * Sends one message of 1 to 65 536 bytes, with up to 253 descriptors. The descriptors stay the caller's, also when this
   * fails; once the promise is resolved they may be closed, and `bytes` may be changed: what the peer receives are
   * duplicates. While the peer does not read, it waits for room. A `send` that failed has sent nothing.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: too many bytes or descriptors, none of bytes, or a descriptor that is not open
   * (`fds[i]`); `TIMEOUT`: no room in time, `WOULD_BLOCK` with a time-out of 0; `DISCONNECTED`: the peer, or this side, has closed; `IO`
   */
  async send(bytes: Uint8Array, fds: readonly number[] = [], options?: WaitOptions): Promise<void> {
    this.#socket.handle();
    if (!(bytes instanceof Uint8Array) || bytes.length < 1 || bytes.length > SOCKET_MESSAGE_SIZE_MAX) {
      throw invalid(
        `a message of ${bytes?.length} bytes: it must be a Uint8Array of 1 to ${SOCKET_MESSAGE_SIZE_MAX}`,
      );
    }
    if (fds.length > SOCKET_DESCRIPTORS_MAX) {
      throw invalid(`${fds.length} descriptors: a message carries at most ${SOCKET_DESCRIPTORS_MAX}`);
    }
    const list = Int32Array.from(fds, (fd, index) => checkDescriptor(`fds[${index}]`, fd));
    await this.#room.wait(options, () => this.#trySend(bytes, list));
  }

  #trySend(bytes: Uint8Array, fds: Int32Array<ArrayBuffer>): true | undefined {
    const { symbols, subject } = this.#socket;
    const list = new Uint8Array(fds.buffer);
    const result = symbols.cuframes_socket_send(
      this.#socket.handle(),
      bytes,
      bytes.length,
      list,
      fds.length,
      0,
    );
    return this.#socket.attempt(result, `sending to ${subject}`) === undefined ? undefined : true;
  }

  /**
   * The next message. Its descriptors are the message's, hence the caller's. On every error no descriptor was received.
   *
   * @throws {CuframesError} `DISCONNECTED`: the peer has closed, after everything that it had sent before was received;
   * `TIMEOUT`, `WOULD_BLOCK`: none came in time; `PROTOCOL`: a message of more than 65 536 bytes, which is dropped, its
   * descriptors closed, and the next one can be received; `IO`: this process has no room for its descriptors, and it can be
   * received when there is.
   */
  receive(options?: WaitOptions): Promise<DescriptorMessage> {
    return this.#messages.wait(options);
  }

  #tryReceive(): DescriptorMessage | undefined {
    const received = this.#received;
    const result = this.#socket.symbols.cuframes_socket_receive(
      this.#socket.handle(),
      this.#buffer,
      this.#buffer.length,
      received.bytes,
      0,
    );
    if (this.#socket.attempt(result, `receiving from ${this.#socket.subject}`) === undefined) {
      return undefined;
    }
    const fds = Array.from(
      { length: received.u32(Received.descriptorCount) },
      (_, index) => received.i32(Received.descriptors + 4 * index),
    );
    return new DescriptorMessage(this.#buffer.slice(0, received.u32(Received.size)), fds);
  }

  /** Undoes {@linkcode DescriptorSocket.unref}. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  /** From now on no pending send or receive keeps the process alive. */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Whether {@linkcode DescriptorSocket.close} was called. */
  get closed(): boolean {
    return this.#socket.closed;
  }

  /** Ends the connection; the peer can still receive what was sent. Whatever waits fails with `DISCONNECTED`. Idempotent. */
  close(): void {
    this.#socket.close();
  }

  /** Same as {@linkcode DescriptorSocket.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
