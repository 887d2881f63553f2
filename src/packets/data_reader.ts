// The reading end of a data track: values from JSON.

import {
  checkOptions,
  CuframesError,
  invalid,
  isCuframesError,
  optionNames,
  shown,
  type WaitOptions,
} from "../core/mod.ts";
import type { Packet } from "./packet.ts";
import {
  type PacketReaderStats,
  type PacketRingReader,
  type PacketSelection,
  packetSelection,
} from "./packet_ring_reader.ts";

/** How `Subscriber.data` reads. */
export interface DataOptions {
  /** Begins with the value that was sent last, where there is one; default false: with the next one. */
  latest?: boolean;
  /** Instead: begins with the oldest value in the ring, or so many seconds ago, as `PacketsOptions.since`. */
  since?: "oldest" | number;
}

const DATA_OPTIONS = optionNames<DataOptions>({ latest: true, since: true });

/** Which packets these options select. */
export function dataSelection(label: string, options: DataOptions | undefined): PacketSelection {
  const { latest = false, since } = checkOptions(options, DATA_OPTIONS);
  if (typeof label !== "string" || label === "") {
    throw invalid(`label is ${shown(label)}: it must be the name of a data track`);
  }
  if (latest && since !== undefined) throw invalid("latest and since exclude each other");
  const track = { kind: "data", label } as const;
  if (since === undefined) return { track, since: latest ? "key" : "upcoming", wait: true };
  return { ...packetSelection({ since }), track, wait: true };
}

/** A value of a data track, and what goes with it. */
export interface DataMessage<Value = unknown> {
  /** The value, as JSON has it: a publisher can send any. */
  readonly value: Value;
  /** The time that the value is about, in microseconds. */
  readonly timestamp: number;
  /** The same in nanoseconds. */
  readonly timestampNs: bigint;
  /** From 0, in the order of sending. */
  readonly sequence: bigint;
  /** Values before this one are missing. */
  readonly discontinuity: boolean;
}

/**
 * Reads the values of a data track, in order; `Subscriber.data` makes it.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * for await (const { value, timestamp } of camera.data("detections", { latest: true })) console.log(timestamp, value);
 * ```
 */
export class DataReader<Value = unknown> implements Disposable, AsyncIterable<DataMessage<Value>> {
  readonly #packets: PacketRingReader;
  readonly #label: string;

  /** @internal Made by `Subscriber.data`. */
  constructor(label: string, packets: PacketRingReader) {
    this.#label = label;
    this.#packets = packets;
  }

  /**
   * The next value. Waits for it, and for the track where the publisher has not made it yet; while it waits the process
   * stays alive.
   *
   * @throws {CuframesError} as `PacketRingReader.next`; `FORMAT`: what was sent is no JSON, reading goes on
   */
  async next(options?: WaitOptions): Promise<DataMessage<Value>> {
    return this.#message(await this.#packets.next(options));
  }

  /** Every value from here on; ends when the publisher is gone (never with the subscriber's `reconnect`). */
  [Symbol.asyncIterator](): AsyncGenerator<DataMessage<Value>, void, void> {
    return this.values();
  }

  /** As iterating over the reader itself, where each wait is to have a time-out or an end. */
  async *values(options?: WaitOptions): AsyncGenerator<DataMessage<Value>, void, void> {
    for await (const packet of this.#packets.values(options)) {
      let message: DataMessage<Value>;
      try {
        message = this.#message(packet);
      } catch (error) {
        // What one sender got wrong ends nobody's loop.
        if (isCuframesError(error, "FORMAT")) continue;
        throw error;
      }
      yield message;
    }
  }

  #message({ data, timestamp, timestampNs, sequence, discontinuity }: Packet): DataMessage<Value> {
    let value: Value;
    try {
      value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
    } catch {
      throw new CuframesError(
        "FORMAT",
        `value ${sequence} of the data track ${this.#label} is no JSON: read it as packets({ track })`,
      );
    }
    return { value, timestamp, timestampNs, sequence, discontinuity };
  }

  /** Counters so far, of values. */
  stats(): PacketReaderStats {
    return this.#packets.stats();
  }

  /** Undoes {@linkcode DataReader.unref}. */
  ref(): this {
    this.#packets.ref();
    return this;
  }

  /** From now on no wait of this reader keeps the process alive: see `Subscriber.unref`. */
  unref(): this {
    this.#packets.unref();
    return this;
  }

  /** Whether {@linkcode DataReader.close} was called. */
  get closed(): boolean {
    return this.#packets.closed;
  }

  /** Ends reading; a pending `next` fails with `DISCONNECTED`. Idempotent. */
  close(): void {
    this.#packets.close();
  }

  /** Same as {@linkcode DataReader.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
