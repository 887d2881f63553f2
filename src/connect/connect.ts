import {
  checked,
  library,
  nativeMessage,
  offWake,
  onWake,
  Report,
  RingInfo,
  Struct,
  SubscriberOptions as Layout,
  waitBegins,
  waitEnds,
} from "../ffi/mod.ts";
import { checkName, ERROR_CODES, NAME_SIZE_MAX, timeoutMilliseconds, type WaitOptions } from "../core/mod.ts";

import { setPlace } from "../memory/mod.ts";
import { waitInSlices } from "./wait_queue.ts";
import process from "node:process";

/** What both a subscriber and an inspector say when they connect. */
export interface Greeting {
  readonly key: string;
  readonly runtimeDirectory: string | undefined;
  readonly name: string | undefined;
  readonly mode: number;
  /** Bits of the layout's WANT_ constants. */
  readonly wants: number;
  /** Milliseconds to wait for a publisher; 0: it must be there. */
  readonly timeout: number;
}

/** The native result: a subscriber's handle with its ring, or a report. */
export interface Connected {
  readonly handle: number;
  readonly info: Struct;
  readonly report: Struct;
}

/** A greeting as the C struct. */
export function encodeGreeting(greeting: Greeting): Struct {
  const struct = new Struct(Layout.SIZE);
  setPlace(struct, Layout, Layout.name - Layout.directory, greeting.key, greeting.runtimeDirectory);
  struct.setText(Layout.name, NAME_SIZE_MAX + 1, checkName(greeting.name ?? `pid-${process.pid}`));
  struct.setU32(Layout.mode, greeting.mode);
  struct.setU32(Layout.wants, greeting.wants);
  struct.setI32(Layout.timeoutMs, timeoutMilliseconds("timeout", greeting.timeout));
  return struct;
}

// Above every handle, so that the tokens of the two kinds of wake-ups never meet.
const firstToken = 0x8000_0000;
let tokens = 0;

function newToken(): number {
  const token = firstToken + tokens;
  tokens = (tokens + 1) % firstToken;
  return token;
}

/**
 * One attempt to connect, on a thread of the library. It goes on until it has an outcome or is closed, whoever waits for
 * it meanwhile, blocked or not, and however often somebody has given up waiting.
 */
export class Attempt<T> implements Disposable {
  readonly #tried: string;
  readonly #handle: number;
  readonly #finish: (attempt: number) => number;
  readonly #resultOf: (handle: number) => T;
  #token: number | undefined;
  #closed = false;

  /**
   * @param handle what the native start returned
   * @param finish the native outcome
   * @param resultOf what the native outcome stands for, when it is one
   */
  constructor(
    tried: string,
    handle: number,
    finish: (attempt: number) => number,
    resultOf: (handle: number) => T,
  ) {
    this.#tried = tried;
    this.#handle = checked(handle, tried);
    this.#finish = finish;
    this.#resultOf = resultOf;
  }

  /** What came of it, to be asked for until there is something; undefined: nothing yet. Throws what it failed with. */
  take(): T | undefined {
    if (this.#closed) return undefined;
    const result = this.#finish(this.#handle);
    if (result === ERROR_CODES.WOULD_BLOCK) return undefined;
    return this.#resultOf(checked(result, this.#tried));
  }

  /** Blocks until there is something to take, for so many milliseconds at most, of which -1 is for ever. */
  wait(milliseconds: number): void {
    const { symbols } = library();
    const result = waitInSlices(milliseconds, (slice) => symbols.cuframes_connect_wait(this.#handle, slice));
    if (result !== ERROR_CODES.TIMEOUT) checked(result, this.#tried);
  }

  /** How far it has come, as a sentence; undefined where there is something to take. */
  get pending(): string | undefined {
    const result = library().symbols.cuframes_connect_wait(this.#handle, 0);
    return result === ERROR_CODES.TIMEOUT ? nativeMessage() : undefined;
  }

  /** Whether somebody is told when there is something to take. */
  get armed(): boolean {
    return this.#token !== undefined;
  }

  /** Calls `news` once, on the event loop, when there is something to take. The first one is called, no other. */
  arm(news: () => void): void {
    if (this.armed) return;
    const { symbols, wake } = library();
    const token = this.#token = newToken();
    onWake(token, news);
    if (checked(symbols.cuframes_connect_arm(this.#handle, wake, token), this.#tried) === 0) return;
    // It is there already.
    offWake(token);
    queueMicrotask(() => this.#closed || news());
  }

  /** Gives up, or lets go. What was connected and not taken is closed. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#token !== undefined) offWake(this.#token);
    library().symbols.cuframes_connect_close(this.#handle);
  }

  /** Same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Begins to connect to a publisher, for as long as the greeting says. */
export function beginConnecting(greeting: Greeting): Attempt<Connected> {
  const { symbols } = library();
  const info = new Struct(RingInfo.SIZE);
  const report = new Struct(Report.SIZE);
  return new Attempt(
    `connecting to ${greeting.key}`,
    symbols.cuframes_connect_start(encodeGreeting(greeting).bytes, null, 0),
    (attempt) => symbols.cuframes_connect_finish(attempt, info.bytes, report.bytes),
    (handle) => ({ handle, info, report }),
  );
}

/** Connects without blocking. Aborted by the signal, with its reason. */
export async function connect(greeting: Greeting, signal?: AbortSignal): Promise<Connected> {
  signal?.throwIfAborted();
  using attempt = beginConnecting(greeting);
  return await outcomeOf(attempt, signal);
}

/** Connects to a socket of the caller's own, in the same manner; returns its handle. */
export async function connectSocket(
  address: Uint8Array,
  tried: string,
  { timeout = 0, signal }: WaitOptions,
): Promise<number> {
  const { symbols } = library();
  const milliseconds = timeoutMilliseconds("timeout", timeout);
  signal?.throwIfAborted();
  using attempt = new Attempt(
    tried,
    symbols.cuframes_socket_connect_start(address, address.length, milliseconds, null, 0),
    (attempt) => symbols.cuframes_connect_finish(attempt, null, null),
    (handle) => handle,
  );
  return await outcomeOf(attempt, signal);
}

async function outcomeOf<T>(attempt: Attempt<T>, signal: AbortSignal | undefined): Promise<T> {
  let abort: (() => void) | undefined;
  waitBegins();
  try {
    return await new Promise<T>((resolve, reject) => {
      attempt.arm(() => {
        try {
          resolve(attempt.take()!);
        } catch (error) {
          reject(error);
        }
      });
      abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort);
    });
  } finally {
    waitEnds();
    if (abort !== undefined) signal?.removeEventListener("abort", abort);
  }
}
