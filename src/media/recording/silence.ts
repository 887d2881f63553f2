/** This file fills gaps of sound for files that count samples and have no place for a gap. */
import { CuframesError } from "../../core/mod.ts";
import type { NodeAv } from "../node_av.ts";
import type { RecorderPacket, RecorderTrack } from "./recorder_track.ts";

const SECOND = 1_000_000_000n;
/** What is shorter is no gap: clocks are not so exact. */
const SLIP_NS = SECOND / 100n;
/** What is longer is not filled. */
const LONGEST_NS = 60n * SECOND;
/** The byte that is silent, where it is not 0. */
const SILENT: Record<string, number> = { pcm_mulaw: 0xff, pcm_alaw: 0xd5, pcm_u8: 0x80 };

/** Samples of a constant size: FFmpeg's muxer of MOV takes one to follow the other, whatever their times are. */
export class Silence {
  readonly #silent: number;
  readonly #sampleBytes: number;
  readonly #rate: bigint;
  /** When the sound that was written ends. */
  #endNs: bigint | undefined;

  private constructor(silent: number, sampleBytes: number, rate: number) {
    this.#silent = silent;
    this.#sampleBytes = sampleBytes;
    this.#rate = BigInt(rate);
  }

  /** For a track; undefined where a file has the time of each of its packets. */
  static for(
    av: NodeAv,
    format: string,
    { kind, codecId, sampleRate, numberOfChannels }: RecorderTrack,
  ): Silence | undefined {
    const id = codecId as Parameters<NodeAv["avGetCodecName"]>[0];
    const name = av.avGetCodecName(id) ?? "";
    if (format !== "mov" || kind !== "audio") return undefined;
    const bits = name in SILENT ? 8 : Number(/^pcm_[sf](\d+)(le|be)?$/.exec(name)?.[1] ?? 0);
    return bits === 0
      ? undefined
      : new Silence(SILENT[name] ?? 0, (bits >> 3) * numberOfChannels!, sampleRate!);
  }

  /**
   * A packet, behind the silence that is missing before it, and without what comes too early.
   *
   * @throws {CuframesError} `INVALID_ARGUMENT`: more than a minute would be missing
   */
  *before(packet: RecorderPacket): Generator<RecorderPacket, void, void> {
    const gap = packet.timestampNs - (this.#endNs ?? packet.timestampNs);
    if (gap > LONGEST_NS) {
      throw new CuframesError(
        "INVALID_ARGUMENT",
        `sound is missing for ${
          gap / SECOND
        } s, which a MOV with PCM cannot hold: close this file and begin another`,
      );
    }
    if (gap > SLIP_NS) yield* this.#fill(gap);
    const early = gap < -SLIP_NS ? Number(-gap * this.#rate / SECOND) : 0;
    const data = packet.data.subarray(early * this.#sampleBytes);
    if (data.byteLength === 0) return;
    const goesOn = this.#endNs !== undefined && gap <= SLIP_NS;
    const beginNs = goesOn ? this.#endNs! : packet.timestampNs;
    const samples = BigInt(Math.floor(data.byteLength / this.#sampleBytes));
    this.#endNs = beginNs + samples * SECOND / this.#rate;
    yield early === 0 ? packet : { ...packet, data, timestampNs: beginNs, decodeTimestampNs: beginNs };
  }

  *#fill(gap: bigint): Generator<RecorderPacket, void, void> {
    const begin = this.#endNs!;
    const samples = gap * this.#rate / SECOND;
    for (let done = 0n; done < samples; done += this.#rate) {
      const count = samples - done < this.#rate ? samples - done : this.#rate;
      const timestampNs = begin + done * SECOND / this.#rate;
      yield {
        data: new Uint8Array(Number(count) * this.#sampleBytes).fill(this.#silent),
        type: "key",
        timestampNs,
        decodeTimestampNs: timestampNs,
      };
    }
  }
}
