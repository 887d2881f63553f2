import { connectSocket, WaitQueue } from "../connect/mod.ts";
import {
  ADDRESS_SIZE_MAX,
  checkInteger,
  CuframesError,
  DIRECTIONS,
  ERROR_CODES,
  invalid,
  shown,
  SOCKET_DESCRIPTORS_MAX,
  SOCKET_MESSAGE_SIZE_MAX,
  type WaitOptions,
} from "../core/mod.ts";
import {
  checked,
  Credentials,
  library,
  nativeError,
  type NativeSymbols,
  offWake,
  onWake,
  Received,
  Struct,
} from "../ffi/mod.ts";

/**
 * Who is on the other end of a socket, as the kernel says: the peer cannot choose it.
 *
 * @example
 * ```ts
 * import { DescriptorSocket } from "@cuframes/core";
 *
 * using socket = await DescriptorSocket.connect("/run/app.sock");
 * console.log(socket.peer.uid);
 * ```
 */
export interface PeerCredentials {
  /** Process id; 0 where the peer's process has none in this PID namespace. */
  pid: number;
  /** User id. */
  uid: number;
  /** Group id. */
  gid: number;
}

/**
 * Options of {@linkcode DescriptorSocket.listen}.
 *
 * @example
 * ```ts
 * import { DescriptorSocket } from "@cuframes/core";
 *
 * using listener = DescriptorSocket.listen("/run/app.sock", { mode: 0o600 });
 * ```
 */
export interface ListenOptions {
  /**
   * Permission bits of the socket's file; default `0o660`. Who may not write to it cannot connect. An abstract address
   * has none: everybody in the network namespace may connect; look at {@linkcode DescriptorSocket.peer}.
   */
  mode?: number;
}

/**
 * Closes a descriptor that this process was handed, such as one of {@linkcode DescriptorMessage.takeFds}; once.
 *
 * @example
 * ```ts
 * import { closeDescriptor, DescriptorSocket } from "@cuframes/core";
 *
 * using socket = await DescriptorSocket.connect("/run/app.sock");
 * using message = await socket.receive();
 * for (const fd of message.takeFds()) closeDescriptor(fd);
 * ```
 */
export function closeDescriptor(fd: number): void {
  checked(library().symbols.cuframes_descriptor_close(checkDescriptor("fd", fd)), `closing descriptor ${fd}`);
}

/** A number that can be a file descriptor. */
export function checkDescriptor(name: string, fd: number): number {
  return checkInteger(name, fd, 0, 0x7fffffff);
}

function encodeAddress(address: string): Uint8Array {
  const bytes = new TextEncoder().encode(address);
  if (typeof address !== "string" || bytes.length < 1 || bytes.length > ADDRESS_SIZE_MAX) {
    throw invalid(
      `address ${
        shown(address)
      }: it must be a path, or "@" and an abstract name, of 1 to ${ADDRESS_SIZE_MAX} bytes`,
    );
  }
  return bytes;
}

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

/** What a connection and a listener share: a native socket, waited for without blocking, closed once. */
class NativeSocket {
  readonly symbols: NativeSymbols = library().symbols;
  readonly subject: string;
  readonly #waits: WaitQueue<unknown>[] = [];
  #handle: number | undefined;

  constructor(handle: number, subject: string) {
    this.#handle = handle;
    this.subject = subject;
    onWake(handle, () => this.#waits.forEach((waits) => waits.notify()));
  }

  get closed(): boolean {
    return this.#handle === undefined;
  }

  handle(): number {
    if (this.#handle === undefined) throw this.#isClosed();
    return this.#handle;
  }

  #isClosed(): CuframesError {
    return new CuframesError(
      "DISCONNECTED",
      `the socket ${this.subject} is closed: open another one to go on`,
    );
  }

  /** Promises for what `attempt` gives when the socket is ready in that direction. */
  waits<T>(what: string, direction: keyof typeof DIRECTIONS, attempt: () => T | undefined): WaitQueue<T> {
    const waits = new WaitQueue<T>(
      what,
      attempt,
      () =>
        checked(
          this.symbols.cuframes_socket_arm(this.handle(), DIRECTIONS[direction], library().wake),
          `waiting for ${this.subject}`,
        ),
    );
    this.#waits.push(waits as WaitQueue<unknown>);
    return waits;
  }

  ref(): void {
    for (const waits of this.#waits) waits.ref();
  }

  unref(): void {
    for (const waits of this.#waits) waits.unref();
  }

  /** A native result that is not negative; undefined where it would block. */
  attempt(result: number, tried: string): number | undefined {
    if (result === ERROR_CODES.WOULD_BLOCK) return undefined;
    if (result < 0) throw nativeError(result, tried);
    return result;
  }

  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    offWake(handle);
    this.symbols.cuframes_socket_close(handle);
    for (const waits of this.#waits) waits.fail(this.#isClosed());
  }
}

/**
 * A connection to another process of this machine for short messages with file descriptors: dma-bufs, memfds. A message
 * arrives whole, with the descriptors that were sent with it, or not at all (`SOCK_SEQPACKET`).
 *
 * An address is a path, or `"@"` and a name in the kernel's abstract namespace, of up to 107 bytes (a path to listen on:
 * 102). Waiting does not block the event loop; while something waits the process stays alive, unless `unref` says
 * otherwise. Every descriptor of the library is close-on-exec.
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
    this.#socket = new NativeSocket(handle, subject);
    this.#buffer = new Uint8Array(SOCKET_MESSAGE_SIZE_MAX);
    this.#messages = this.#socket.waits(`message from ${subject}`, "readable", () => this.#tryReceive());
    this.#room = this.#socket.waits<true>(`room to send to ${subject}`, "writable", () => undefined);
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
  static async connect(address: string, options: WaitOptions = {}): Promise<DescriptorSocket> {
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
  static listen(address: string, options: ListenOptions = {}): DescriptorListener {
    return new DescriptorListener(address, options);
  }

  /** Who is on the other end: of an accepted connection who connected, of the other kind who began to listen. */
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
  async send(bytes: Uint8Array, fds: readonly number[] = [], options: WaitOptions = {}): Promise<void> {
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
   * descriptors closed; `IO`: this process has no room for its descriptors: likewise. After these two the next message can
   * be received.
   */
  receive(options: WaitOptions = {}): Promise<DescriptorMessage> {
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
  constructor(address: string, { mode = 0o660 }: ListenOptions) {
    const bytes = encodeAddress(address);
    checkInteger("mode", mode, 0, 0o777);
    const handle = checked(
      library().symbols.cuframes_socket_listen(bytes, bytes.length, mode),
      `listening on ${address}`,
    );
    this.address = address;
    this.#socket = new NativeSocket(handle, address);
    this.#connections = this.#socket.waits(`connection to ${address}`, "readable", () => this.#tryAccept());
  }

  /**
   * The next connection, oldest first.
   *
   * @throws {CuframesError} `TIMEOUT`, `WOULD_BLOCK`: none came in time; `DISCONNECTED`: closed; `IO`: no descriptor is left
   */
  accept(options: WaitOptions = {}): Promise<DescriptorSocket> {
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
        if (this.closed && error instanceof CuframesError && error.code === "DISCONNECTED") return;
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
