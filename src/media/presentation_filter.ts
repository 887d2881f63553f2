/** This file finds the presentation times of packets that have decode times only, or none. */
import type { CodecParameters, Packet } from "node-av";
import { CuframesError, isAnnexB, type PictureOrder, PictureOrders } from "../core/mod.ts";

/** Packets whose distances tell how far apart the last pictures are. */
const STEPS = 8;

/** A packet that waits until it is known when it is shown. */
interface Waiting {
  readonly packet: Packet;
  readonly order: PictureOrder;
  /** How many fields it has: a frame has two. */
  readonly fields: number;
  timeNs: bigint | undefined;
}

/** What a stream says of its times. */
export interface Times {
  /** A frame's duration, in ns. */
  readonly frameNs: bigint;
  /** The time of the n-th field, in ns, of a stream that has no times; undefined: packets have decode times. */
  readonly generate: ((field: bigint) => bigint) | undefined;
}

/**
 * Finds presentation times for a stream that has none (raw streams, AVI), from the order that the pictures themselves
 * state: the n-th picture that is shown has the time at which the n-th is decoded, and as many more as the decoder holds
 * back. (FFmpeg's filter `dts2pts` loses pictures where two sequences have the same counts, and does not know the last ones'
 * times.) Holds some packets back; drops none.
 */
export class PresentationFilter {
  readonly #times: Times;
  /** How many frames the decoder holds back. */
  readonly #delay: number;
  readonly #orders: PictureOrders;
  /** In decode order. */
  readonly #waiting: Waiting[] = [];
  /** Those whose turn to be shown is not known, in the order in which they are shown. */
  readonly #unshown: Waiting[] = [];
  /** Those that are shown next. */
  readonly #shown: Waiting[] = [];
  /** When they are, field by field. */
  readonly #fieldsNs: bigint[] = [];
  /** Fields' times that nothing is shown at: the decoder holds back the first frames. */
  #skipped: number;
  #generated = 0n;
  /** The last packet: when it is decoded, and its fields. */
  #decoded: { readonly timeNs: bigint; readonly fields: bigint } | undefined;
  /** How long the frames of the last packets are, by when the ones behind them are decoded. */
  readonly #stepsNs: bigint[] = [];
  #last: PictureOrder = { sequence: 0, count: 0, isField: false };
  #ending = false;

  private constructor(orders: PictureOrders, delay: number, times: Times) {
    this.#times = times;
    this.#delay = delay;
    this.#skipped = 2 * delay;
    this.#orders = orders;
  }

  /** The filter, or undefined for a stream that does not need it, or whose order cannot be read. */
  static for(parameters: CodecParameters, times: Times): PresentationFilter | undefined {
    const { codecId, extradata, videoDelay } = parameters;
    if (!isAnnexB(codecId)) return undefined;
    const orders = new PictureOrders(codecId, extradata ?? new Uint8Array(0));
    const hasFields = times.generate !== undefined && orders.hasFields;
    return videoDelay > 0 || hasFields ? new PresentationFilter(orders, videoDelay, times) : undefined;
  }

  /** Whether the last packet has been received. */
  get ended(): boolean {
    return this.#ending && this.#waiting.length === 0;
  }

  /** Takes a packet's content. */
  send(packet: Packet): void {
    const kept = packet.clone();
    if (!kept) throw new CuframesError("OUT_OF_MEMORY", "keeping a packet");
    // What does not tell its place is shown in its turn.
    const order = this.#orders.next(packet.data ?? new Uint8Array(0)) ?? this.#last;
    if (order.sequence !== this.#last.sequence) this.#show(0);
    this.#last = order;
    const fields = this.#stamp(kept, order);
    const waiting = { packet: kept, order, fields, timeNs: undefined };
    this.#waiting.push(waiting);
    const before = this.#unshown.findLastIndex((other) => !isBefore(order, other.order));
    this.#unshown.splice(before + 1, 0, waiting);
    // A stream whose decoder holds nothing back is shown as it is decoded.
    this.#show(this.#delay === 0 ? 0 : 2 * Math.max(this.#delay, this.#orders.reorderFrames));
    this.#place();
  }

  /** No packet follows; the ones held back are received next. */
  end(): void {
    this.#ending = true;
    this.#show(0);
    const stepNs = this.#stepNs;
    const { timeNs, fields } = this.#decoded ?? { timeNs: 0n, fields: 2n };
    // The last ones are shown when packets would be decoded that do not come.
    let nextNs = timeNs + stepNs * fields / 2n;
    for (; this.#shown.length > 0; nextNs += stepNs) this.#addFrame(nextNs, stepNs);
  }

  /** Whether a packet was moved into `packet`, which is empty before. */
  receive(packet: Packet): boolean {
    const [first] = this.#waiting;
    if (first?.timeNs === undefined) return false;
    this.#waiting.shift();
    packet.ref(first.packet);
    packet.pts = first.timeNs;
    first.packet.free();
    return true;
  }

  /** Frees what it holds. */
  close(): void {
    for (const { packet } of this.#waiting) packet.free();
  }

  /** Notes when a packet is decoded; where it has no time, it gets one. Returns its fields. */
  #stamp(packet: Packet, { isField }: PictureOrder): number {
    const { frameNs, generate } = this.#times;
    const fields = generate && isField ? 1n : 2n;
    if (generate) {
      packet.dts = generate(this.#generated);
      packet.duration = generate(this.#generated += fields) - packet.dts;
    }
    const { dts } = packet;
    if (fields === 1n) this.#addField(dts);
    else this.#addFrame(dts, frameNs);
    if (this.#decoded) this.#stepsNs.push((dts - this.#decoded.timeNs) * 2n / this.#decoded.fields);
    if (this.#stepsNs.length > STEPS) this.#stepsNs.shift();
    this.#decoded = { timeNs: dts, fields };
    return Number(fields);
  }

  #addFrame(timeNs: bigint, frameNs: bigint): void {
    this.#addField(timeNs);
    this.#addField(timeNs + frameNs / 2n);
  }

  #addField(timeNs: bigint): void {
    if (this.#skipped > 0) this.#skipped--;
    else this.#fieldsNs.push(timeNs);
    this.#place();
  }

  /** How far apart the last frames are, gaps left out. An AVI may state another rate than its packets have. */
  get #stepNs(): bigint {
    const steps = this.#stepsNs.filter((step) => step > 0n);
    return steps.reduce((least, step) => step < least ? step : least, steps[0] ?? this.#times.frameNs);
  }

  /** Nothing that comes is shown before the first of these, but for so many fields. */
  #show(held: number): void {
    let fields = this.#unshown.reduce((sum, waiting) => sum + waiting.fields, 0);
    while (fields > held) {
      const next = this.#unshown.shift()!;
      fields -= next.fields;
      this.#shown.push(next);
    }
  }

  /** Gives those that are shown next the times that are known. */
  #place(): void {
    for (;;) {
      const [next] = this.#shown;
      if (next === undefined || this.#fieldsNs.length < next.fields) return;
      [next.timeNs] = this.#fieldsNs.splice(0, next.fields);
      this.#shown.shift();
    }
  }
}

function isBefore(one: PictureOrder, other: PictureOrder): boolean {
  return one.sequence === other.sequence ? one.count < other.count : one.sequence < other.sequence;
}
