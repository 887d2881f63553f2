// Waking an event loop through a socket, where native threads may not call into it.

import type * as NodeNet from "node:net";
import process from "node:process";
import type { NativeCallback, NativeSymbols, Wakeups } from "./runtime.ts";

/** A wake-up socket of the library: the native callback that writes to it, and the end to read from. */
export interface WakeSocket {
  /** The callback's address. */
  readonly address: bigint;
  /** A stream socket's descriptor, the caller's. */
  readonly fd: number;
}

/** Asks the library for one; undefined where it refuses. */
export function openWakeSocket(symbols: NativeSymbols): WakeSocket | undefined {
  const address = new BigUint64Array(1);
  const fd = symbols.cuframes_callback_socket(new Uint8Array(address.buffer));
  return fd < 0 ? undefined : { address: address[0]!, fd };
}

const TOKEN_SIZE = Uint32Array.BYTES_PER_ELEMENT;
/** Bytes that are read at a time: as many tokens as may well have come together. */
const READ_SIZE = 1024 * TOKEN_SIZE;

/** Cuts a stream of bytes into the tokens it is made of, wherever it was cut before. */
export class TokenStream {
  readonly #listener: (token: number) => void;
  readonly #bytes = new Uint8Array(TOKEN_SIZE);
  readonly #token = new Uint32Array(this.#bytes.buffer);
  #filled = 0;

  constructor(listener: (token: number) => void) {
    this.#listener = listener;
  }

  push(chunk: Uint8Array): void {
    for (const byte of chunk) {
      this.#bytes[this.#filled++] = byte;
      if (this.#filled < TOKEN_SIZE) continue;
      this.#filled = 0;
      this.#listener(this.#token[0]!);
    }
  }
}

/** Wake-ups through a socket that node:net reads: Node's, and those of a Deno worker. */
export function readByNodeNet(
  { fd }: WakeSocket,
  callback: NativeCallback,
  listener: (token: number) => void,
): Wakeups {
  const { Socket } = process.getBuiltinModule("node:net") as typeof NodeNet;
  const tokens = new TokenStream(listener);
  const buffer = new Uint8Array(READ_SIZE);
  const socket = new Socket({
    fd,
    readable: true,
    writable: false,
    onread: {
      buffer,
      callback(size) {
        tokens.push(buffer.subarray(0, size));
        return true;
      },
    },
  });
  socket.unref();
  return {
    callback,
    ref: () => void socket.ref(),
    unref: () => void socket.unref(),
  };
}
