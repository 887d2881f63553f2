// The writing end of a data track: values as JSON.

import { checkOptions, invalid, optionNames } from "../core/mod.ts";
import { library } from "../ffi/mod.ts";
import type { PacketRingWriter } from "./packet_ring_writer.ts";

/** What goes with a value. */
export interface DataInit {
  /** The time that the value is about, in microseconds on the line of the frames and packets; default: now. */
  timestamp?: number;
  /** Nanoseconds, instead of `timestamp`. */
  timestampNs?: bigint;
}

const DATA_INIT = optionNames<DataInit>({ timestamp: true, timestampNs: true });

/** Of the JSON of one value, in bytes. */
export const VALUE_SIZE_MAX: number = 2 ** 20;

/**
 * Sends values to whoever reads the data track: `Publisher.data` makes it.
 *
 * @example
 * ```ts
 * import { Publisher } from "@cuframes/core";
 *
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720 });
 * const detections = publisher.data("detections");
 * detections.send([{ label: "car", box: [10, 20, 64, 32] }], { timestamp: 40_000 });
 * ```
 */
export class DataWriter {
  /** What readers find it by. */
  readonly label: string;
  readonly #writer: PacketRingWriter;

  /** @internal Made by `Publisher.data`. */
  constructor(label: string, writer: PacketRingWriter) {
    this.label = label;
    this.#writer = writer;
  }

  /** The track's number. */
  get track(): number {
    return this.#writer.track;
  }

  /**
   * Sends a value: whatever JSON can say.
   *
   * @returns its sequence: 0 for the first, and one more each time
   * @throws {CuframesError} `INVALID_ARGUMENT`: JSON cannot say it; `PACKET_OVERSIZED`: its JSON has more than 1 MiB, or
   * than the track was made for; `DISCONNECTED`: the publisher is closed
   */
  send(value: unknown, init?: DataInit): bigint {
    const { timestamp, timestampNs } = checkOptions(init, DATA_INIT);
    const data = new TextEncoder().encode(jsonOf(value));
    if (timestampNs !== undefined) return this.#writer.write({ type: "key", data, timestampNs });
    if (timestamp !== undefined) return this.#writer.write({ type: "key", data, timestamp });
    return this.#writer.write({ type: "key", data, timestampNs: library().symbols.cuframes_now_ns() });
  }
}

function jsonOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // A circle, a bigint, or what a toJSON of the caller's has thrown.
    throw invalid(`this value cannot be sent as JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (text === undefined) throw invalid(`a ${typeof value} cannot be sent as JSON`);
  return text;
}
