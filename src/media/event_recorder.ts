/** This file records events: from so long before one to so long behind it. */
import {
  checkOptions,
  CuframesError,
  invalid,
  isCuframesError,
  nanosecondsOf,
  optionNames,
} from "../core/mod.ts";
import type { Subscriber } from "../frames/mod.ts";
import { AllTracks, type TrackPacket } from "./all_tracks.ts";
import type { LeftTrack } from "./recording/taken_tracks.ts";
import { recordable, type Segment, SegmentRecorder } from "./segments.ts";

/**
 * An event, as `EventRecorder.trigger` takes it.
 *
 * @example
 * ```ts
 * import type { EventInit } from "@cuframes/core/media";
 *
 * const event: EventInit = { reason: "doorbell" };
 * console.log(event.reason);
 * ```
 */
export interface EventInit {
  /**
   * When it was, in ns on the line of the camera's packets, as a frame's or a data track's `timestampNs`; default, and for a
   * time that the ring does not have: now.
   */
  readonly timestampNs?: bigint;
  /** What it was, in the caller's words. */
  readonly reason?: string;
}

const EVENT_INIT = optionNames<EventInit>({ timestampNs: true, reason: true });

/** An event that is recorded. */
export interface RecordedEvent {
  /** When it was triggered. */
  readonly time: Date;
  /** As {@linkcode EventInit.reason}. */
  readonly reason: string | undefined;
}

/**
 * How an {@linkcode EventRecorder} records.
 *
 * @example
 * ```ts
 * import { EventRecorder, type EventRecorderOptions } from "@cuframes/core/media";
 * import { Subscriber } from "@cuframes/core";
 *
 * const options: EventRecorderOptions = { pathOf: ({ time }) => `events/${time.getTime()}.mp4`, pre: 5, post: 20 };
 * using camera = await Subscriber.connect("cam-door", { frames: false, reconnect: true });
 * await using recorder = EventRecorder.start(camera, options);
 * recorder.trigger({ reason: "doorbell" });
 * ```
 */
export interface EventRecorderOptions {
  /**
   * The path of an event's file. Directories are made; a number is added to the name of a file that exists, as where a codec
   * changes in the middle of an event.
   */
  pathOf(event: RecordedEvent): string;
  /** Seconds before the event that the file begins at the latest: at the last key packet before; default 10. */
  pre?: number;
  /** Seconds behind the event at which the file ends; another event within them lets it go on; default 10. */
  post?: number;
  /** As `RecorderOptions.format`. */
  format?: string;
  /** As `RecorderOptions.sync`. */
  sync?: number;
  /** As `RecorderOptions.audio`. */
  audio?: "aac";
  /** Told of each file that begins, and of the tracks that its format does not take. */
  onBegin?: (path: string, event: RecordedEvent, left: readonly LeftTrack[]) => void;
  /** Told of each file that is complete. */
  onEnd?: (segment: Segment, event: RecordedEvent) => void;
}

const OPTIONS = optionNames<EventRecorderOptions>({
  pathOf: true,
  pre: true,
  post: true,
  format: true,
  sync: true,
  audio: true,
  onBegin: true,
  onEnd: true,
});

/** The longest time before and behind an event, in s: a day. */
const LONGEST = 86_400;
/** A camera that gives nothing for so long behind an event's end has ended the event, in ms. */
const SILENCE_MS = 10_000;
/** A time further ahead of the newest packet than this is of another clock. */
const AHEAD_NS = 1_000_000_000n;

/**
 * Records a key's tracks around events, into a file each. Nothing is copied between events: what was before one is still in the
 * rings. So the file begins at the last key packet that is at least `pre` before the event, or where the ring does not go back
 * so far at its oldest one. Nothing is decoded.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 * import { EventRecorder } from "@cuframes/core/media";
 *
 * using camera = await Subscriber.connect("cam-door", { frames: false, reconnect: true });
 * await using recorder = EventRecorder.start(camera, { pathOf: ({ time }) => `door/${time.toISOString()}.mp4` });
 * for await (const { value, timestampNs } of camera.data<{ label: string }[]>("detections")) {
 *   if (value.some(({ label }) => label === "person")) recorder.trigger({ timestampNs, reason: "person" });
 * }
 * ```
 */
export class EventRecorder implements AsyncDisposable {
  readonly #camera: Subscriber;
  readonly #options: EventRecorderOptions;
  readonly #preNs: bigint;
  readonly #postNs: bigint;
  #closed = false;
  /** What has been triggered and is not recorded yet. */
  #waiting: { init: EventInit; event: RecordedEvent } | undefined;
  #recording: Recording | undefined;
  #running: Promise<void> | undefined;
  #failure: { readonly cause: unknown } | undefined;

  private constructor(camera: Subscriber, options: EventRecorderOptions) {
    options = checkOptions(options, OPTIONS);
    if (typeof options.pathOf !== "function") throw invalid("pathOf must be a function that gives a path");
    this.#camera = camera;
    this.#options = options;
    this.#preNs = nanosecondsOf("pre", options.pre ?? 10, LONGEST);
    this.#postNs = nanosecondsOf("post", options.post ?? 10, LONGEST);
  }

  /**
   * Makes one for a subscriber, which stays the caller's: `frames: false` will do.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`
   */
  static start(camera: Subscriber, options: EventRecorderOptions): EventRecorder {
    return new EventRecorder(camera, options);
  }

  /** Whether an event is being recorded. */
  get recording(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Records an event; while one is being recorded, lets it go on until `post` behind this one.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: closed; what the last recording failed with
   */
  trigger(init?: EventInit): void {
    init = checkOptions(init, EVENT_INIT);
    if (this.#closed) throw invalid("this event recorder is closed");
    this.#rethrow();
    if (this.#recording?.extend(init)) return;
    const event = { time: new Date(), reason: init.reason };
    this.#waiting ??= { init, event };
    this.#running ??= this.#run().finally(() => this.#running = undefined);
  }

  /** Resolves when no event is being recorded; rejects with what the last recording failed with. */
  async finished(): Promise<void> {
    await this.#running;
    this.#rethrow();
  }

  /**
   * Completes the file of an event that is being recorded, with what has been published by now. Repeated calls are harmless.
   *
   * @throws {CuframesError} as {@linkcode EventRecorder.finished}
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#recording?.end();
    await this.finished();
  }

  /** As {@linkcode EventRecorder.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #rethrow(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure.cause;
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting !== undefined) {
        const { init, event } = this.#waiting;
        this.#waiting = undefined;
        using recording = new Recording(this.#camera, init, this.#preNs, this.#postNs);
        this.#recording = recording;
        if (this.#closed) recording.end();
        await this.#record(recording, event);
      }
    } catch (error) {
      this.#failure = { cause: error };
    } finally {
      this.#recording = undefined;
    }
  }

  async #record(recording: Recording, event: RecordedEvent): Promise<void> {
    const { pathOf, format, sync, audio, onBegin, onEnd } = this.#options;
    await using recorder = new SegmentRecorder({
      pathOf: () => pathOf(event),
      ...{ format, sync, audio },
      onBegin: (path, left) => onBegin?.(path, event, left),
      onEnd: (segment) => onEnd?.(segment, event),
    });
    for await (const packet of recording.packets()) {
      await recorder.write(recordable(packet), (index) => recording.trackOf(index));
    }
    // A later event has a file of its own from here on.
    this.#recording = undefined;
  }
}

/** The packets of one event. */
class Recording implements Disposable {
  readonly #tracks: AllTracks;
  readonly #lead: number;
  readonly #preNs: bigint;
  readonly #postNs: bigint;
  readonly #camera: Subscriber;
  /** The last packet of the lead track that was there when the event was triggered. */
  readonly #present: Place | undefined;
  /** The last one that is wanted; undefined before that is known. */
  #last: Place | undefined;
  /** The last one that has come. */
  #come: Place | undefined;
  readonly #ending = new AbortController();
  /** When the events were, so far as that is known. */
  #events: EventInit[];
  /** Where the file ends; undefined before the event's time is known. */
  #untilNs: bigint | undefined;
  /** The newest packet of the lead track. */
  #newestNs: bigint | undefined;
  #over = false;

  constructor(camera: Subscriber, init: EventInit, preNs: bigint, postNs: bigint) {
    const lead = camera.tracks.find(({ kind }) => kind === "video") ?? camera.tracks[0];
    if (lead === undefined) {
      throw new CuframesError(
        "NO_PACKET_RING",
        `${camera.key} is published without packets: there is nothing to record`,
      );
    }
    this.#camera = camera;
    this.#lead = lead.index;
    this.#preNs = preNs;
    this.#postNs = postNs;
    this.#events = [init];
    this.#present = newestOf(camera, lead.index);
    // How far a key packet is from the next, and sound from its picture, the packets tell.
    this.#tracks = new AllTracks(camera, { since: "oldest" });
  }

  trackOf(index: number) {
    return this.#tracks.trackOf(index);
  }

  /** Ends the file with what there is now. */
  end(): void {
    this.#last = newestOf(this.#camera, this.#lead);
    if (this.#last === undefined || isAt(this.#last, this.#come)) this.#ending.abort();
  }

  /** Lets the file go on until behind another event; false where it has ended already. */
  extend(init: EventInit): boolean {
    if (this.#over) return false;
    if (this.#untilNs === undefined) this.#events.push(init);
    else this.#extendTo(init);
    return true;
  }

  #extendTo({ timestampNs }: EventInit): void {
    const newest = this.#newestNs!;
    const event = timestampNs === undefined || timestampNs > newest + AHEAD_NS ? newest : timestampNs;
    const until = event + this.#postNs;
    if (this.#untilNs === undefined || until > this.#untilNs) this.#untilNs = until;
  }

  /** From the last key packet before the event, and so long before it, on. */
  async *packets(): AsyncGenerator<TrackPacket, void, void> {
    const backlog: TrackPacket[] = [];
    const timeout = Number(this.#postNs) / 1e6 + SILENCE_MS;
    try {
      for await (const packet of this.#tracks.values({ signal: this.#ending.signal, timeout })) {
        const isLead = packet.track === this.#lead;
        if (isLead) this.#note(packet);
        let due = [packet];
        if (this.#untilNs === undefined) {
          backlog.push(packet);
          if (!isLead || !isAt(this.#present, this.#come)) continue;
          due = this.#begin(backlog);
        }
        for (const each of due) {
          if (each.track === this.#lead && each.packet.decodeTimestampNs >= this.#untilNs!) return;
          yield each;
        }
        if (isLead && this.#last !== undefined && isAt(this.#last, this.#come)) return;
      }
    } catch (error) {
      // A camera that has gone silent has nothing more to say of the event.
      if (!isCuframesError(error, "TIMEOUT") && !this.#ending.signal.aborted) throw error;
    } finally {
      this.#over = true;
    }
  }

  #note({ packet: { sequence, timestampNs }, epoch }: TrackPacket): void {
    this.#come = { sequence, epoch };
    if (this.#newestNs === undefined || timestampNs > this.#newestNs) this.#newestNs = timestampNs;
  }

  /** What there is of the time before the event, now that this is known. */
  #begin(backlog: readonly TrackPacket[]): TrackPacket[] {
    const keys = backlog.filter(({ track, packet }) => track === this.#lead && packet.type === "key");
    const [first] = keys;
    const [{ timestampNs }] = this.#events as [EventInit];
    const known = timestampNs !== undefined && first !== undefined &&
      timestampNs >= first.packet.timestampNs &&
      timestampNs <= this.#newestNs! + AHEAD_NS;
    const eventNs = known ? timestampNs : this.#newestNs!;
    for (const event of this.#events) this.#extendTo(event);
    const begin = keys.findLast(({ packet }) => packet.timestampNs <= eventNs - this.#preNs) ?? first;
    if (begin === undefined) return [];
    const from = backlog.indexOf(begin);
    // Sound that is shown with the first picture may stand before it.
    return backlog.filter(({ track, packet }, index) =>
      index >= from || (track !== this.#lead && packet.timestampNs >= begin.packet.timestampNs)
    );
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#tracks[Symbol.dispose]();
  }
}

/** A packet of a track: its number, and the connection that it came over. */
interface Place {
  readonly sequence: bigint;
  readonly epoch: number;
}

/** Whether reading has come to a place, or past it. */
function isAt(place: Place | undefined, come: Place | undefined): boolean {
  if (place === undefined) return true;
  return come !== undefined &&
    (come.epoch > place.epoch || (come.epoch === place.epoch && come.sequence >= place.sequence));
}

/** A track's newest packet; undefined: there is none that can be read. */
function newestOf(camera: Subscriber, track: number): Place | undefined {
  using reader = camera.packets({ track });
  try {
    const { sequence } = reader.nextSync({ timeout: 0 });
    return { sequence: sequence + BigInt(reader.stats().lag), epoch: reader.reconnects };
  } catch (error) {
    if (isCuframesError(error, "WOULD_BLOCK", "PACKET_OVERRUN")) return undefined;
    throw error;
  }
}
