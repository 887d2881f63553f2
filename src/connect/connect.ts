// Connecting, for subscribers, inspectors and sockets of the caller's own: what is said, and waiting for the outcome.

import process from "node:process";
import {
  checkName,
  checkOptions,
  NAME_SIZE_MAX,
  timeoutMilliseconds,
  WAIT_OPTIONS,
  type WaitOptions,
} from "../core/mod.ts";
import {
  library,
  Report,
  RingInfo,
  Struct,
  SubscriberOptions as Layout,
  waitBegins,
  waitEnds,
} from "../ffi/mod.ts";
import { setPlace } from "../memory/mod.ts";
import { ConnectAttempt } from "./connect_attempt.ts";

/** What both a subscriber and an inspector say when they connect. */
export interface ConnectRequest {
  readonly key: string;
  readonly runtimeDirectory: string | undefined;
  readonly name: string | undefined;
  readonly mode: number;
  /** The sum of the WANT_ constants of what is wanted. */
  readonly wants: number;
  /** Milliseconds to wait for a publisher; 0: it must be there. */
  readonly timeout: number;
  /** Milliseconds to wait before the first attempt; default 0. */
  readonly delay?: number;
}

/** The native result of connecting: a subscriber's handle with its ring, or a report. */
export interface Connected {
  readonly handle: number;
  readonly info: Struct;
  readonly report: Struct;
}

/** Writes a request as the C struct. */
export function encodeRequest(request: ConnectRequest): Struct {
  const struct = new Struct(Layout.SIZE);
  setPlace(struct, Layout, Layout.name - Layout.directory, request.key, request.runtimeDirectory);
  struct.setText(Layout.name, NAME_SIZE_MAX + 1, checkName(request.name ?? `pid-${process.pid}`));
  struct.setU32(Layout.mode, request.mode);
  struct.setU32(Layout.wants, request.wants);
  struct.setI32(Layout.timeoutMs, timeoutMilliseconds("timeout", request.timeout));
  struct.setU32(Layout.delayMs, Math.round(request.delay ?? 0));
  return struct;
}

/** Begins to connect to a publisher, for as long as the request says. */
export function startConnecting(request: ConnectRequest): ConnectAttempt<Connected> {
  const { symbols } = library();
  const info = new Struct(RingInfo.SIZE);
  const report = new Struct(Report.SIZE);
  return new ConnectAttempt(
    `connecting to ${request.key}`,
    symbols.cuframes_connect_start(encodeRequest(request).bytes, null, 0),
    (attempt) => symbols.cuframes_connect_finish(attempt, info.bytes, report.bytes),
    (handle) => ({ handle, info, report }),
  );
}

/** Connects without blocking. The signal ends it, with its reason. */
export async function connect(request: ConnectRequest, signal?: AbortSignal): Promise<Connected> {
  signal?.throwIfAborted();
  using attempt = startConnecting(request);
  return await outcomeOf(attempt, signal);
}

/** Connects to a socket of the caller's own in the same manner, and returns its handle. */
export async function connectSocket(
  address: Uint8Array,
  tried: string,
  options?: WaitOptions,
): Promise<number> {
  const { timeout = 0, signal } = checkOptions(options, WAIT_OPTIONS);
  const { symbols } = library();
  const milliseconds = timeoutMilliseconds("timeout", timeout);
  signal?.throwIfAborted();
  using attempt = new ConnectAttempt(
    tried,
    symbols.cuframes_socket_connect_start(address, address.length, milliseconds, null, 0),
    (attempt) => symbols.cuframes_connect_finish(attempt, null, null),
    (handle) => handle,
  );
  return await outcomeOf(attempt, signal);
}

async function outcomeOf<T>(attempt: ConnectAttempt<T>, signal: AbortSignal | undefined): Promise<T> {
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
