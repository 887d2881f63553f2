import { checked, library, nativeError, offWake, onWake, waitBegins, waitEnds } from "./ffi/library.ts";
import { ERROR_CODES, NAME_SIZE_MAX, Report, RingInfo, SubscriberOptions as Layout } from "./ffi/layout.ts";
import { Struct } from "./ffi/struct.ts";
import { checkName, setPlace, timeoutMilliseconds, type WaitOptions } from "./options.ts";
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

function emptyResult(): { info: Struct; report: Struct } {
  return { info: new Struct(RingInfo.SIZE), report: new Struct(Report.SIZE) };
}

/** Connects on this thread, which it blocks. */
export function connectSync(greeting: Greeting): Connected {
  const { info, report } = emptyResult();
  const result = library().symbols.cuframes_connect(encodeGreeting(greeting).bytes, info.bytes, report.bytes);
  return { handle: checked(result, `connecting to ${greeting.key}`), info, report };
}

// Above every handle, so that the tokens of the two kinds of wake-ups never meet.
const firstToken = 0x8000_0000;
let tokens = 0;

/**
 * Connects on a thread of the library. Aborted by the signal, with its reason.
 *
 * @param awaited somebody waits for just this: on Node that keeps the process alive
 */
export function connect(greeting: Greeting, signal?: AbortSignal, awaited = true): Promise<Connected> {
  const { symbols, wake } = library();
  const options = encodeGreeting(greeting);
  const { info, report } = emptyResult();
  return attempt(
    `connecting to ${greeting.key}`,
    (token) => symbols.cuframes_connect_start(options.bytes, wake, token),
    (connecting) => symbols.cuframes_connect_finish(connecting, info.bytes, report.bytes),
    signal,
    awaited,
  ).then((handle) => ({ handle, info, report }));
}

/** Connects to a socket of the caller's own, in the same manner; returns its handle. */
export function connectSocket(address: Uint8Array, tried: string, options: WaitOptions): Promise<number> {
  const { symbols, wake } = library();
  const timeout = timeoutMilliseconds("timeout", options.timeout ?? 0);
  return attempt(
    tried,
    (token) => symbols.cuframes_socket_connect_start(address, address.length, timeout, wake, token),
    (connecting) => symbols.cuframes_connect_finish(connecting, null, null),
    options.signal,
    true,
  );
}

async function attempt(
  tried: string,
  start: (token: number) => number,
  finish: (connecting: number) => number,
  signal: AbortSignal | undefined,
  awaited: boolean,
): Promise<number> {
  signal?.throwIfAborted();
  const token = firstToken + tokens;
  tokens = (tokens + 1) % firstToken;
  const connecting = checked(start(token), tried);
  let abort: (() => void) | undefined;
  if (awaited) waitBegins();
  try {
    return await new Promise<number>((resolve, reject) => {
      onWake(token, () => {
        const handle = finish(connecting);
        if (handle >= 0) resolve(handle);
        else if (handle !== ERROR_CODES.WOULD_BLOCK) reject(nativeError(handle, tried));
      });
      abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort);
    });
  } finally {
    if (awaited) waitEnds();
    if (abort !== undefined) signal?.removeEventListener("abort", abort);
    offWake(token);
    library().symbols.cuframes_connect_close(connecting);
  }
}
