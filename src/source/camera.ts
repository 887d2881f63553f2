/** One source: its input opened again and again, and published under one key. */
import { setTimeout as sleep } from "node:timers/promises";
import { CuframesError, type PixelFormat, type Size } from "../core/mod.ts";

import { type MediaEvent, type MediaReader, openConnection, Timeline } from "../media/mod.ts";
import { Backoff } from "./backoff.ts";
import { CameraRing, type RingCounters, type RingSettings } from "./camera_ring.ts";
import { redact } from "./redact.ts";

/** What a source is and how it is published. */
export interface CameraSettings extends RingSettings {
  /** A path, a device, or a URL. */
  readonly input: string;
  /** Where pictures are decoded; undefined: nowhere, packets only. */
  readonly decoder: "auto" | "none" | "cuda" | undefined;
  readonly realtime: boolean;
  readonly loop: boolean;
  /** What frames are scaled to; undefined: as they are. */
  readonly size: Size | undefined;
  readonly format: PixelFormat | undefined;
  readonly transport: "tcp" | "udp";
  /** Milliseconds without a packet after which the input counts as lost. */
  readonly timeout: number;
  readonly reconnect: boolean;
  /** Milliseconds: the longest wait between two attempts. */
  readonly longestDelay: number;
  readonly inputFormat: string | undefined;
  readonly inputOptions: Readonly<Record<string, string>>;
  /** Nothing is published before so many subscribers are there. */
  readonly subscribers: number;
}

/** What a source tells about itself. */
export type CameraEvent =
  | { readonly event: "connecting"; readonly input: string }
  | {
    readonly event: "connected";
    /** WebCodecs' codec string. */
    readonly codec: string;
    /** Pixels of the stream. */
    readonly codedWidth: number;
    readonly codedHeight: number;
    /** Frames a second; null where the stream does not say. */
    readonly frameRate: number | null;
    /** The ring's. */
    readonly width: number;
    readonly height: number;
    readonly format: PixelFormat;
    readonly memory: string;
    readonly packets: boolean;
  }
  | {
    readonly event: "disconnected";
    /** A `CuframesError`'s code; null where the stream just ended. */
    readonly code: string | null;
    readonly reason: string;
    /** Milliseconds until the next attempt. */
    readonly retryIn: number;
  };

/** How a source is doing. */
export interface CameraStatus extends RingCounters {
  readonly state: "connecting" | "streaming" | "waiting";
  /** Connections made anew after the first. */
  readonly reconnects: number;
  readonly subscribers: number;
}

/** The input failed, not the publishing: another attempt may go well. */
class InputFailure extends Error {
  constructor(cause: unknown) {
    super("", { cause });
  }
}

/** A connection that lasted as long was a good one. */
const GOOD_MS = 5000;

/** Publishes an input for as long as it takes. */
export class Camera implements Disposable {
  readonly #settings: CameraSettings;
  readonly #report: (event: CameraEvent) => void;
  readonly #ring: CameraRing;
  readonly #backoff: Backoff;
  /** The times of all connections. */
  readonly #timeline = new Timeline();
  #state: CameraStatus["state"] = "connecting";
  #connections = 0;
  /** When this attempt's connection began, by `performance.now()`; undefined where there is none yet. */
  #connectedAt: number | undefined;

  constructor(settings: CameraSettings, report: (event: CameraEvent) => void) {
    this.#settings = settings;
    this.#report = report;
    this.#ring = new CameraRing(settings);
    this.#backoff = new Backoff(settings.longestDelay);
  }

  /** Counters and state. */
  get status(): CameraStatus {
    return {
      state: this.#state,
      reconnects: Math.max(0, this.#connections - 1),
      subscribers: this.#ring.subscribers,
      ...this.#ring.counters,
    };
  }

  /**
   * Runs until the input is over, which a camera never is.
   *
   * @throws {CuframesError} what another attempt would not mend; the signal's reason where it was aborted
   */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      this.#connectedAt = undefined;
      let lost: { code: CuframesError["code"] | null; reason: string };
      try {
        if (await this.#connection(signal) === "over") return;
        lost = { code: null, reason: "the stream ended" };
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof InputFailure)) throw error;
        const { cause } = error;
        if (!(cause instanceof CuframesError) || !this.#mayRetry(cause)) throw cause;
        lost = { code: cause.code, reason: cause.message };
      }
      const lastedMs = this.#connectedAt === undefined ? 0 : performance.now() - this.#connectedAt;
      if (lastedMs >= GOOD_MS) this.#backoff.reset();
      // A camera that refuses credentials locks those out who try again soon.
      if (lost.code === "PERMISSION") this.#backoff.slow();
      const retryIn = Math.round(this.#backoff.next());
      this.#state = "waiting";
      this.#report({ event: "disconnected", ...lost, retryIn });
      await sleep(retryIn, undefined, { signal });
    }
  }

  /** Ends the publishing at once. */
  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]();
  }

  /** Whether an input's failure may pass: a file's does not, a camera's does unless it can never have worked. */
  #mayRetry({ code }: CuframesError): boolean {
    const { input, reconnect } = this.#settings;
    if (!reconnect || !isRemote(input)) return false;
    return this.#connections > 0 || (code !== "UNSUPPORTED" && code !== "OUT_OF_MEMORY");
  }

  /** One connection, from opening to its end. */
  async #connection(signal: AbortSignal): Promise<"over" | "lost"> {
    this.#state = "connecting";
    const { input, subscribers, reconnect, realtime } = this.#settings;
    this.#report({ event: "connecting", input: redact(input) });
    await using media = await this.#open(signal);
    signal.throwIfAborted();
    const endless = isRemote(input) && media.live;
    // What comes as fast as it can be read may be held back; a camera cannot.
    this.#ring.begin(media, { wait: !endless && !realtime });
    this.#connections++;
    this.#connectedAt = performance.now();
    this.#reportConnected(media);
    if (this.#connections === 1) await this.#ring.subscribed(subscribers, signal);
    this.#state = "streaming";
    for await (const event of inputEvents(media)) {
      if (event.kind === "packet") this.#ring.packet(event);
      else await this.#ring.frame(event, signal);
    }
    return reconnect && endless ? "lost" : "over";
  }

  async #open(signal: AbortSignal): Promise<MediaReader> {
    const { input, decoder, realtime, loop, size, format, timeout, inputFormat, device } = this.#settings;
    try {
      return await openConnection(input, {
        decode: decoder !== undefined,
        ...(decoder !== undefined && { hardware: decoder }),
        device,
        realtime,
        loop,
        timeout,
        signal,
        options: this.#inputOptions(),
        ...(inputFormat !== undefined && { inputFormat }),
        ...(format !== undefined && { format }),
        ...size,
        // A stream that comes back in another size is scaled to the ring's.
        ...this.#ring.shape,
      }, this.#timeline);
    } catch (error) {
      throw new InputFailure(error);
    }
  }

  #inputOptions(): Record<string, string> {
    const { input, transport, inputOptions } = this.#settings;
    const rtsp = /^rtsps?:/i.test(input) && {
      rtsp_transport: transport,
      allowed_media_types: "video",
      // The rate is of little use here, and a longer look at it would be a longer gap.
      fpsprobesize: "3",
    };
    return { ...rtsp, ...inputOptions };
  }

  #reportConnected({ video }: MediaReader): void {
    const { codec, codedWidth, codedHeight, frameRate = null } = video;
    this.#report({
      event: "connected",
      codec,
      codedWidth,
      codedHeight,
      frameRate,
      ...this.#ring.shape!,
      memory: this.#ring.memory!,
      packets: this.#ring.hasPackets,
    });
  }
}

/** Whether an input is somewhere else, or a device: it can go and come back. */
function isRemote(input: string): boolean {
  return input.startsWith("/dev/") || (/^[a-z][a-z0-9+.-]*:\/\//i.test(input) && !/^file:/i.test(input));
}

/** What the input gives; its failures as {@linkcode InputFailure}. */
async function* inputEvents(media: MediaReader): AsyncGenerator<MediaEvent, void, void> {
  const events = media[Symbol.asyncIterator]();
  for (;;) {
    const step = await events.next().catch((error) => {
      throw new InputFailure(error);
    });
    if (step.done) return;
    yield step.value;
  }
}
