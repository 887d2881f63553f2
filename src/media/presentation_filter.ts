/** This file finds the presentation times of packets that have decode times only. */
import type { CodecParameters, Packet } from "node-av";
import { CuframesError, isAnnexB, type PictureOrder, PictureOrders } from "../core/mod.ts";

/** Packets whose distances tell how far apart the last pictures are. */
const STEPS = 8;

/** A packet that waits until it is known when it is shown. */
interface Waiting {
  readonly packet: Packet;
  readonly order: PictureOrder;
  timeNs: bigint | undefined;
}

/**
 * Finds presentation times for a stream that has decode times only (raw streams, AVI), from the order that the pictures
 * themselves state: the n-th picture that is shown has the time at which the n-th is decoded, and as many more as the
 * decoder holds back. (FFmpeg's filter `dts2pts` loses pictures where two sequences have the same counts, and does not know
 * the last ones' times.) Holds some packets back; drops none.
 */
export class PresentationFilter {
  readonly #frameNs: bigint;
  /** How many pictures the decoder holds back. */
  readonly #delay: number;
  readonly #orders: PictureOrders;
  /** In decode order. */
  readonly #waiting: Waiting[] = [];
  /** Those whose turn to be shown is not known, in the order in which they are shown. */
  readonly #unshown: Waiting[] = [];
  /** Those that are shown next. */
  readonly #shown: Waiting[] = [];
  /** When they are. */
  readonly #timesNs: bigint[] = [];
  #sent = 0;
  #lastNs = 0n;
  /** How much later than the one before it each of the last packets is decoded. */
  readonly #stepsNs: bigint[] = [];
  #last: PictureOrder = { sequence: 0, count: 0 };
  #ending = false;

  private constructor({ codecId, extradata, videoDelay }: CodecParameters, frameNs: bigint) {
    this.#frameNs = frameNs;
    this.#delay = videoDelay;
    this.#orders = new PictureOrders(codecId, extradata ?? new Uint8Array(0));
  }

  /** The filter, or undefined for a stream that does not reorder, or whose order cannot be read. */
  static for(parameters: CodecParameters, frameNs: bigint): PresentationFilter | undefined {
    if (parameters.videoDelay <= 0 || !isAnnexB(parameters.codecId)) return undefined;
    return new PresentationFilter(parameters, frameNs);
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
    const waiting = { packet: kept, order, timeNs: undefined };
    this.#waiting.push(waiting);
    const before = this.#unshown.findLastIndex((other) => !isBefore(order, other.order));
    this.#unshown.splice(before + 1, 0, waiting);
    this.#show(Math.max(this.#delay, this.#orders.reorderFrames));
    if (this.#sent > 0) this.#stepsNs.push(packet.dts - this.#lastNs);
    if (this.#stepsNs.length > STEPS) this.#stepsNs.shift();
    if (this.#sent++ >= this.#delay) this.#timesNs.push(packet.dts);
    this.#lastNs = packet.dts;
    this.#stamp();
  }

  /** No packet follows; the ones held back are received next. */
  end(): void {
    this.#ending = true;
    this.#show(0);
    // The last ones are shown when packets would be decoded that do not come.
    const first = Math.max(this.#delay - this.#sent, 0) + 1;
    const missing = this.#shown.length - this.#timesNs.length;
    for (let n = 0; n < missing; n++) this.#timesNs.push(this.#lastNs + this.#stepNs * BigInt(first + n));
    this.#stamp();
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

  /** How far apart the last packets are, gaps left out. An AVI may state another rate than its packets have. */
  get #stepNs(): bigint {
    const steps = this.#stepsNs.filter((step) => step > 0n);
    return steps.reduce((least, step) => step < least ? step : least, steps[0] ?? this.#frameNs);
  }

  /** Nothing that comes is shown before the first of these, but for so many. */
  #show(held: number): void {
    this.#shown.push(...this.#unshown.splice(0, Math.max(this.#unshown.length - held, 0)));
  }

  #stamp(): void {
    const count = Math.min(this.#shown.length, this.#timesNs.length);
    const times = this.#timesNs.splice(0, count);
    for (const [index, waiting] of this.#shown.splice(0, count).entries()) waiting.timeNs = times[index];
  }

  /** Frees what it holds. */
  close(): void {
    for (const { packet } of this.#waiting) packet.free();
  }
}

function isBefore(one: PictureOrder, other: PictureOrder): boolean {
  return one.sequence === other.sequence ? one.count < other.count : one.sequence < other.sequence;
}
