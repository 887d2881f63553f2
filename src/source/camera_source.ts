/** This file publishes a camera: its input is opened again and again, and published under one key. */
import { Backoff, type CuframesError, isCuframesError, pause, redact } from "../core/mod.ts";
import { type MediaEvent, type MediaReader, openConnection, Timeline } from "../media/mod.ts";
import { CameraRing, type RingCounters } from "./camera_ring.ts";
import { type CameraSourceOptions, type CameraSourceSettings, settingsOf } from "./options.ts";
import type { CameraSourceEvent } from "./event.ts";

/**
 * How a {@linkcode CameraSource} is doing. The counters are those of all its connections.
 *
 * @example
 * ```ts
 * import { CameraSource } from "@cuframes/core/source";
 *
 * await using source = CameraSource.start({ input: "rtsp://camera/stream", key: "cam" });
 * const { state, frames, reconnects } = source.stats();
 * console.log(`${state}: ${frames} frames, ${reconnects} reconnects`);
 * ```
 */
export interface CameraSourceStats extends Readonly<RingCounters> {
  /**
   * `"connecting"`: the input is being opened, or the first subscribers are waited for; `"streaming"`; `"waiting"`
   * until the next attempt; `"ended"`.
   */
  readonly state: "connecting" | "streaming" | "waiting" | "ended";
  /** Connections made anew after the first. */
  readonly reconnects: number;
  /** Subscribers connected now. */
  readonly subscribers: number;
  /** Slots in the ring now; 0 where there is none. */
  readonly slots: number;
  /** Slots that subscribers hold now. */
  readonly slotsLeased: number;
  /** Subscribers evicted so far, for what they held. */
  readonly evictions: number;
}

/** The input failed, not the publishing: another attempt may go well. */
class InputFailure extends Error {
  constructor(cause: unknown) {
    super("", { cause });
  }
}

/** A connection that lasted as long was a good one. */
const GOOD_MS = 5000;

/**
 * A camera, a device or a file that is published under one key for as long as it takes: its frames are decoded once,
 * its packets are passed on as they are. A camera that drops is opened again; subscribers keep their connection, the
 * first packet and the first frame behind the gap say `discontinuity`, timestamps never go back, and the gap is as
 * long as it was.
 *
 * A camera that comes back in another size goes on in the ring's: frames are scaled, packets are as they come. A codec
 * that changes, then or in the middle of the stream, is told in the packet where it does (`Packet.config`).
 *
 * @example
 * ```ts
 * import { CameraSource } from "@cuframes/core/source";
 *
 * await using source = CameraSource.start({ input: "rtsp://camera.local/stream", key: "parking" });
 * await source.closed; // a camera never ends by itself
 * ```
 */
export class CameraSource implements Disposable, AsyncDisposable {
  readonly #settings: CameraSourceSettings;
  readonly #ring: CameraRing;
  readonly #backoff: Backoff;
  /** The times of all connections. */
  readonly #timeline = new Timeline();
  readonly #closing = new AbortController();
  /** Aborted by `close()`, and by the caller's signal. */
  readonly #signal: AbortSignal;
  #state: CameraSourceStats["state"] = "connecting";
  #connections = 0;
  /** When this attempt's connection began, by `performance.now()`; undefined where there is none yet. */
  #connectedAt: number | undefined;

  /** The key that it is published under. */
  readonly key: string;

  /**
   * Resolves when the input is over, which a camera's never is, or `close()` has ended it; rejects with what another
   * attempt would not mend, or the signal's reason. Nobody has to look at it.
   *
   * Such failures are `ALREADY_EXISTS`: another process publishes under the key; those of opening a file, or of a
   * camera that can never have worked: `NOT_FOUND`, `PERMISSION`, `FORMAT`, `UNSUPPORTED`, `INVALID_ARGUMENT`; with `reconnect: false`
   * also `IO` and `TIMEOUT`; `OUT_OF_MEMORY`, `CUDA`; and whatever `onEvent` throws.
   */
  readonly closed: Promise<void>;

  private constructor(options: CameraSourceOptions) {
    const settings = settingsOf(options);
    const { signal } = settings;
    signal?.throwIfAborted();
    this.key = settings.key;
    this.#settings = settings;
    this.#ring = new CameraRing(settings, (event) => this.#tell(event));
    this.#backoff = new Backoff(settings.maxDelay);
    this.#signal = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    // Not before the caller has the source: events come from the very first step on.
    this.closed = Promise.resolve().then(() => this.#run());
    this.closed.catch(() => {});
  }

  /**
   * Begins to open an input, and to publish it.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: an option is wrong; `FORMAT`: there is no such pixel format. What
   * fails later is told by {@linkcode CameraSource.closed}.
   * @throws the reason of a signal that is aborted already
   */
  static start(options: CameraSourceOptions): CameraSource {
    return new CameraSource(options);
  }

  /** State, and counters so far. */
  stats(): CameraSourceStats {
    return {
      state: this.#state,
      reconnects: Math.max(0, this.#connections - 1),
      ...this.#ring.state,
      ...this.#ring.counters,
    };
  }

  /**
   * Ends the publishing at once: subscribers drain what is in the rings and are then told. Resolves when the input is
   * closed too, which may take as long as the look-up of a host name. Repeated calls are harmless.
   */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.closed.catch(() => {});
  }

  /** As {@linkcode CameraSource.close}, but for the input, whose end is not waited for. */
  [Symbol.dispose](): void {
    void this.close();
  }

  /** As {@linkcode CameraSource.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    // Nobody is to find a socket that leads nowhere while the input takes its time to close.
    const end = () => this.#ring[Symbol.dispose]();
    this.#signal.addEventListener("abort", end);
    try {
      this.#signal.throwIfAborted();
      await this.#keepConnecting();
    } catch (error) {
      this.#settings.signal?.throwIfAborted();
      if (!this.#closing.signal.aborted) throw error;
    } finally {
      this.#signal.removeEventListener("abort", end);
      end();
      this.#state = "ended";
    }
  }

  async #keepConnecting(): Promise<void> {
    for (;;) {
      this.#connectedAt = undefined;
      let lost: { code: CuframesError["code"] | null; reason: string };
      try {
        if (await this.#connection() === "over") return;
        lost = { code: null, reason: "the stream ended" };
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!(error instanceof InputFailure)) throw error;
        const { cause } = error;
        if (!isCuframesError(cause) || !this.#mayRetry(cause)) throw cause;
        lost = { code: cause.code, reason: cause.message };
      }
      const lastedMs = this.#connectedAt === undefined ? 0 : performance.now() - this.#connectedAt;
      if (lastedMs >= GOOD_MS) this.#backoff.reset();
      // A camera that refuses credentials locks those out who try again soon.
      if (lost.code === "PERMISSION") this.#backoff.slow();
      const retryIn = Math.round(this.#backoff.next());
      this.#state = "waiting";
      this.#tell({ kind: "disconnected", ...lost, retryIn });
      await pause(retryIn, this.#signal);
    }
  }

  /** Whether an input's failure may pass: a file's does not, a camera's does unless it can never have worked. */
  #mayRetry({ code }: CuframesError): boolean {
    const { input, reconnect } = this.#settings;
    if (!reconnect || !isRemote(input)) return false;
    // A mistake in the URL or its options stays one.
    const hopeless: readonly string[] = ["INVALID_ARGUMENT", "UNSUPPORTED", "OUT_OF_MEMORY"];
    return this.#connections > 0 || !hopeless.includes(code);
  }

  /** One connection, from opening to its end. */
  async #connection(): Promise<"over" | "lost"> {
    this.#state = "connecting";
    const { input, subscribers, reconnect, realtime } = this.#settings;
    this.#tell({ kind: "connecting", input: redact(input) });
    await using media = await this.#open();
    this.#signal.throwIfAborted();
    const endless = isRemote(input) && media.live;
    // What comes as fast as it can be read may be held back; a camera cannot.
    this.#ring.begin(media, { wait: !endless && !realtime });
    this.#connections++;
    this.#connectedAt = performance.now();
    this.#tellConnected(media);
    if (this.#connections === 1) await this.#ring.subscribed(subscribers, this.#signal);
    this.#state = "streaming";
    for await (const event of inputEvents(media)) {
      if (event.kind === "packet") await this.#ring.packet(event, this.#signal);
      else await this.#ring.frame(event, this.#signal);
    }
    return reconnect && endless ? "lost" : "over";
  }

  async #open(): Promise<MediaReader> {
    const { input, media } = this.#settings;
    try {
      // A stream that comes back in another size is scaled to the ring's.
      const options = { ...media, ...this.#ring.shape, signal: this.#signal };
      return await openConnection(input, options, this.#timeline);
    } catch (error) {
      throw new InputFailure(error);
    }
  }

  #tellConnected({ video }: MediaReader): void {
    const { codec, codedWidth, codedHeight, frameRate = null } = video;
    this.#tell({
      kind: "connected",
      codec,
      codedWidth,
      codedHeight,
      frameRate,
      ...this.#ring.shape!,
      memory: this.#ring.memory!,
      frames: this.#settings.frames,
      packets: this.#ring.hasPackets,
    });
  }

  #tell(event: CameraSourceEvent): void {
    this.#settings.onEvent?.(event);
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
