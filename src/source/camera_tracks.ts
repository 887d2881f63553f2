/** This file publishes a camera's packets: its streams on the tracks of one publisher, through all its connections. */
import { isAnnexB, isCuframesError, TRACKS_MAX } from "../core/mod.ts";
import type { Publisher } from "../frames/mod.ts";
import { hasSameDecoder, isPictures, type MediaPacket, type MediaTrack } from "../media/mod.ts";
import type { PacketRingWriter, TrackOptions } from "../packets/mod.ts";
import { LARGEST_SHARE, type RingSettings } from "./options.ts";
import { PacketAges } from "./packet_ages.ts";

/** What the tracks have been given so far. */
export interface PacketCounters {
  /** Packets of pictures published. */
  packets: number;
  /** Payload of them, in bytes. */
  packetBytes: number;
  /** Packets of sound published. */
  audioPackets: number;
  /** Packets of data published. */
  dataPackets: number;
  /** Packets left out, of whatever kind: larger than the ring allows. */
  packetsDropped: number;
}

/** A track that the publisher has, and what of the camera goes there now. */
interface Carried {
  readonly writer: PacketRingWriter;
  /** What it was last said to be. */
  track: MediaTrack;
  /** Whether the next packet does not continue the one before. */
  gap: boolean;
  /** Whether nothing was published yet that could be continued. */
  isNew: boolean;
  /** Of the packets in its ring. */
  ages: PacketAges;
}

/** The tracks of one publisher after the other. */
export class CameraTracks {
  readonly #settings: RingSettings["packets"];
  readonly counters: PacketCounters = {
    packets: 0,
    packetBytes: 0,
    audioPackets: 0,
    dataPackets: 0,
    packetsDropped: 0,
  };
  #publisher: Publisher | undefined;
  #carried: Carried[] = [];
  /** Where the connection's streams go, by their index; undefined: nowhere. */
  #ways: (Carried | undefined)[] = [];

  /** @param settings of the packet rings; undefined: there are to be none */
  constructor(settings: RingSettings["packets"]) {
    this.#settings = settings;
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#carried.length === 0;
  }

  /** What a publisher is made with for these streams, so that nobody who waits for its key meets it without them. */
  optionsOf(streams: readonly MediaTrack[]): TrackOptions[] {
    return this.#carriedOf(streams).map((stream) => this.#options(stream));
  }

  /** Takes over a publisher that was made with them. */
  attach(publisher: Publisher, streams: readonly MediaTrack[]): void {
    this.#publisher = publisher;
    const carried = this.#carriedOf(streams);
    this.#carried = publisher.tracks.map((writer, index) => this.#carry(writer, carried[index]!));
    this.#ways = streams.map((stream) => this.#carried.find(({ track }) => track === stream));
  }

  /** The publisher is gone. */
  detach(): void {
    this.#publisher = undefined;
    this.#carried = [];
    this.#ways = [];
  }

  /** The streams of the next connection, each on the track that the first of its kind, the second … had before. */
  reconnect(streams: readonly MediaTrack[]): void {
    const free = [...this.#carried];
    this.#ways = streams.map((stream) => {
      if (!this.#isCarried(stream)) return undefined;
      const index = free.findIndex(({ track }) => track.kind === stream.kind);
      if (index < 0) return this.#add(stream);
      const [carried] = free.splice(index, 1);
      this.#become(carried!, stream);
      return carried;
    });
  }

  #carry(writer: PacketRingWriter, track: MediaTrack): Carried {
    return { writer, track, gap: false, isNew: true, ages: this.#agesOf(track) };
  }

  #agesOf(track: MediaTrack): PacketAges {
    const { slots, dataSize } = this.#ringOf(track);
    return new PacketAges(slots, dataSize);
  }

  /** Milliseconds until a packet overwrites none that a reader may have had no time for; 0 or less: it can be published now. */
  delay({ track, data }: MediaPacket): number {
    return this.#ways[track]?.ages.delay(data.length, performance.now()) ?? 0;
  }

  /** Publishes a packet. */
  packet(packet: MediaPacket): void {
    if (packet.config !== undefined) this.#configure(packet.track, packet.config);
    const carried = this.#ways[packet.track];
    if (carried === undefined) return;
    carried.gap ||= packet.discontinuity && !carried.isNew;
    carried.isNew = false;
    const { writer } = carried;
    const { data, type, corrupt, hidden, timestampNs, decodeTimestampNs, description } = packet;
    if (description) writer.setDescription(description);
    try {
      const discontinuity = carried.gap;
      writer.write({ data, type, corrupt, hidden, timestampNs, decodeTimestampNs, discontinuity });
    } catch (error) {
      if (!isCuframesError(error, "PACKET_OVERSIZED")) throw error;
      this.counters.packetsDropped++;
      carried.gap = true;
      return;
    }
    carried.gap = false;
    carried.ages.add(data.length, performance.now());
    this.#count(writer.kind, data.length);
  }

  #count(kind: MediaTrack["kind"], bytes: number): void {
    if (kind === "audio") this.counters.audioPackets++;
    else if (kind === "data") this.counters.dataPackets++;
    else {
      this.counters.packets++;
      this.counters.packetBytes += bytes;
    }
  }

  /** A stream has become another, or has come up, in the middle of a connection. */
  #configure(index: number, stream: MediaTrack): void {
    const carried = this.#ways[index];
    if (carried) this.#become(carried, stream);
    else if (this.#isCarried(stream)) this.#ways[index] = this.#reuse(stream) ?? this.#add(stream);
  }

  /** A track of the kind that no stream of this connection has. */
  #reuse(stream: MediaTrack): Carried | undefined {
    const carried = this.#carried.find((each) =>
      each.track.kind === stream.kind && !this.#ways.includes(each)
    );
    if (carried) this.#become(carried, stream);
    return carried;
  }

  #add(stream: MediaTrack): Carried | undefined {
    // What there is no room for is left out; the first streams are those that matter.
    if (this.#publisher === undefined || this.#carried.length === TRACKS_MAX) return undefined;
    const writer = this.#publisher.addTrack(this.#options(stream));
    const carried = this.#carry(writer, stream);
    this.#carried.push(carried);
    return carried;
  }

  /** Lets a track go on with another stream: in the same ring where readers find all they need in its packets. */
  #become(carried: Carried, stream: MediaTrack): void {
    const before = carried.track;
    carried.track = stream;
    if (before.codecId === stream.codecId && isAnnexB(stream.codecId)) {
      carried.writer.setDescription(stream.description);
    } else if (before.codec !== stream.codec || !hasSameDecoder(before, stream)) {
      const { kind: _kind, ...options } = this.#options(stream);
      carried.writer.configure(options);
      carried.ages = this.#agesOf(stream);
    }
  }

  /** Whether packets of a stream are published: some devices give pictures instead. */
  #isCarried({ kind, codecId }: MediaTrack): boolean {
    return this.#settings !== undefined && (kind !== "video" || !isPictures(codecId));
  }

  #carriedOf(streams: readonly MediaTrack[]): MediaTrack[] {
    return streams.filter((stream) => this.#isCarried(stream)).slice(0, TRACKS_MAX);
  }

  #options(stream: MediaTrack): TrackOptions {
    const { kind, codec, codecId, description, label, language } = stream;
    return {
      kind,
      // Data is known by its name; whatever else FFmpeg reads has a number.
      codec: kind === "data" ? codec : codecId,
      description,
      ...this.#ringOf(stream),
      ...(kind === "video" && pictureFields(stream)),
      ...(kind === "audio" && soundFields(stream)),
      ...(language !== undefined && { language: cut(language, 15) }),
      ...(label !== undefined && { label: cut(label, 63) }),
    };
  }

  /** How large a ring is: of sound 20 s of AAC, and more than 5 of what RTP cuts into 7 ms. */
  #ringOf({ kind }: MediaTrack): { slots: number; dataSize: number; maxPacketSize?: number } {
    if (kind !== "video") return { slots: 1024, dataSize: (kind === "audio" ? 2 : 4) * 2 ** 20 };
    const { slots, dataSize } = this.#settings!;
    return { slots, dataSize, maxPacketSize: Math.floor(dataSize / LARGEST_SHARE) };
  }
}

function pictureFields({ codedWidth, codedHeight }: MediaTrack): Partial<TrackOptions> {
  return {
    ...(codedWidth !== undefined && codedWidth <= 16_384 && { codedWidth }),
    ...(codedHeight !== undefined && codedHeight <= 16_384 && { codedHeight }),
  };
}

function soundFields({ sampleRate, numberOfChannels }: MediaTrack): Partial<TrackOptions> {
  return {
    ...(sampleRate !== undefined && sampleRate > 0 && { sampleRate }),
    ...(numberOfChannels !== undefined && numberOfChannels > 0 && { numberOfChannels }),
  };
}

/** As much of a text as fits into so many bytes, without half a character. */
function cut(text: string, size: number): string {
  const bytes = new Uint8Array(size);
  const { read } = new TextEncoder().encodeInto(text.replaceAll("\0", ""), bytes);
  return text.replaceAll("\0", "").slice(0, read);
}
