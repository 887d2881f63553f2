/** This file runs FFmpeg's bitstream filters as the demuxer needs them. */
import type { BitStreamFilterContext, CodecParameters, Packet } from "node-av";
import { Buffer } from "node:buffer";
import { CODEC_IDS, CuframesError, isCuframesError, parameterSets, withParameterSets } from "../core/mod.ts";

import { check, NANOSECONDS, type NodeAv } from "./node_av.ts";

/** A filter for packets with times in ns; free it with `free()`. */
function open(av: NodeAv, name: string, parameters: CodecParameters): BitStreamFilterContext {
  const filter = av.BitStreamFilter.getByName(name);
  if (!filter) {
    throw new CuframesError("UNSUPPORTED", `node-av has no bitstream filter ${name}: update node-av`);
  }
  const context = new av.BitStreamFilterContext();
  try {
    check(av, context.alloc(filter), `allocating the bitstream filter ${name}`);
    check(av, parameters.copy(context.inputCodecParameters!), "copying codec parameters");
    context.inputTimeBase = new av.Rational(NANOSECONDS.num, NANOSECONDS.den);
    check(av, context.init(), `starting the bitstream filter ${name}`);
    return context;
  } catch (error) {
    context.free();
    throw error;
  }
}

export { open as openFilter };

/** Converts H.264 and HEVC to Annex B with parameter sets at IDR pictures; Annex B passes through. */
export class AnnexBFilter {
  readonly #av: NodeAv;
  #context: BitStreamFilterContext;

  constructor(av: NodeAv, parameters: CodecParameters) {
    this.#av = av;
    this.#context = openAnnexB(av, parameters);
  }

  /** The stream's parameters after the conversion; valid until the next `filter()`. */
  get parameters(): CodecParameters {
    return this.#context.outputCodecParameters!;
  }

  /** Converts in place, one packet to one; false, and an empty packet, where the packet is damaged. */
  filter(packet: Packet): boolean {
    const followed = this.#follow(packet);
    if (this.#context.sendPacketSync(packet) === 0 && this.#context.receivePacketSync(packet) === 0) {
      if (followed) this.#announce(packet);
      return true;
    }
    packet.unref();
    return false;
  }

  /** Frees the filter. */
  close(): void {
    this.#context.free();
  }

  /**
   * An MP4 or an RTMP stream may change its parameter sets; a decoder of Annex B must not be told so in MP4's form.
   *
   * @returns whether it does at this packet
   */
  #follow(packet: Packet): boolean {
    const extradata = packet.getSideData(this.#av.AV_PKT_DATA_NEW_EXTRADATA);
    if (!extradata) return false;
    const parameters = new this.#av.CodecParameters();
    parameters.alloc();
    try {
      check(this.#av, this.#context.inputCodecParameters!.copy(parameters), "copying codec parameters");
      parameters.extradata = Buffer.from(extradata);
      const context = openAnnexB(this.#av, parameters);
      this.#context.free();
      this.#context = context;
    } catch (error) {
      if (isCuframesError(error)) return false;
      throw error;
    } finally {
      parameters.free();
    }
    packet.freeSideData();
    return true;
  }

  /** The filter puts new sets before the next IDR picture; they hold from here on, whatever this packet is. */
  #announce(packet: Packet): void {
    const { codecId, extradata } = this.parameters;
    const sets = parameterSets(codecId, extradata ?? new Uint8Array(0));
    const data = packet.data ?? Buffer.alloc(0);
    const whole = withParameterSets(codecId, data, sets);
    if (whole !== data) packet.data = Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength);
  }
}

function openAnnexB(av: NodeAv, parameters: CodecParameters): BitStreamFilterContext {
  const name = parameters.codecId === CODEC_IDS.hevc ? "hevc_mp4toannexb" : "h264_mp4toannexb";
  return open(av, name, parameters);
}
