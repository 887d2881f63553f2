// The bytes of docs/protocol.md, written down a second time: what a peer would send that was not made with this code.

export const MAGIC = 0xcc7c1dcf;
export const VERSION = 6;
export const kinds = {
  hello: 1,
  welcome: 2,
  refusal: 3,
  track: 4,
  released: 5,
  report: 6,
  memory: 7,
} as const;
export const wants = { frames: 1, packets: 2, report: 4 } as const;

/** Seals of a memfd, fcntl(2). */
export const seals = { seal: 1, shrink: 2, grow: 4, write: 8, futureWrite: 16 } as const;
export const sealed: number = seals.seal | seals.shrink | seals.grow;
/** What a region must have that the subscriber only reads. */
export const readOnly: number = sealed | seals.futureWrite;

/** Bytes that are enough on every page size: the control region and a lease page. */
export const controlSize: number = 128 * 1024;
export const pageSize: number = 64 * 1024;
/** What is used of a lease page. */
export const leasePageFields = 256;
/** Where a lease page says that its reader was evicted. */
export const leasePageRevoked = 0x68;
/** Where a lease page has the sequence of the last frame delivered. */
export const leasePageCursor = 0x40;
/** Where it has the futex words of its channels. */
export const leasePageWake = { frames: 0x84, packets: 0xc4 } as const;

/** Each replaces what belongs there. */
export interface PrefixFields {
  magic?: number;
  version?: number;
  kind?: number;
  /** As the message says, not as it is. */
  size?: number;
}

function message(
  kind: number,
  size: number,
  prefix: PrefixFields,
  write: (view: DataView) => void = () => {},
): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  view.setUint32(0, prefix.magic ?? MAGIC, true);
  view.setUint32(4, prefix.version ?? VERSION, true);
  view.setUint32(8, prefix.kind ?? kind, true);
  view.setUint32(12, prefix.size ?? size, true);
  write(view);
  return new Uint8Array(view.buffer);
}

export interface HelloFields extends PrefixFields {
  wants?: number;
  mode?: number;
  name?: string;
  deviceCount?: number;
}

export function hello(fields: HelloFields = {}): Uint8Array {
  return message(kinds.hello, 320, fields, (view) => {
    view.setUint32(16, fields.wants ?? wants.frames, true);
    view.setUint32(20, fields.mode ?? 0, true);
    new Uint8Array(view.buffer).set(new TextEncoder().encode(fields.name ?? "peer"), 24);
    view.setUint32(56, fields.deviceCount ?? 0, true);
  });
}

export interface WelcomeFields extends PrefixFields {
  memory?: number;
  maxSlots?: number;
  /** A mask. */
  slots?: bigint;
  /** Of the memory of each slot. */
  generation?: number;
  format?: number;
  width?: number;
  height?: number;
  slotSize?: bigint;
  cursor?: bigint;
  packetsOnly?: number;
  /** By their numbers. */
  tracks?: readonly TrackRingFields[];
}

/** One ring of a track: by default of H.264, the first of its track. */
export interface TrackRingFields {
  size?: bigint;
  base?: bigint;
  cursor?: bigint;
  kind?: number;
  codecId?: number;
  generation?: number;
}

const trackRingSize = 184;

function setTrackRing(view: DataView, offset: number, fields: TrackRingFields): void {
  view.setBigUint64(offset, fields.size ?? 8192n, true);
  view.setBigUint64(offset + 8, fields.base ?? 0n, true);
  view.setBigUint64(offset + 16, fields.cursor ?? 0n, true);
  view.setUint32(offset + 24, fields.kind ?? 1, true);
  view.setUint32(offset + 28, fields.codecId ?? 27, true);
  view.setUint32(offset + 32, fields.generation ?? 1, true);
}

/** Of a GRAY8 picture of 64×64 in 2 slots. */
export function welcome(fields: WelcomeFields = {}): Uint8Array {
  return message(kinds.welcome, 440 + 8 * trackRingSize, fields, (view) => {
    view.setUint32(16, fields.memory ?? 0, true);
    view.setUint32(20, fields.maxSlots ?? 2, true);
    view.setUint32(24, fields.format ?? 8, true);
    view.setUint32(28, fields.width ?? 64, true);
    view.setUint32(32, fields.height ?? 64, true);
    view.setUint32(128, fields.packetsOnly ?? 0, true);
    view.setBigUint64(136, fields.slotSize ?? 4096n, true);
    view.setBigUint64(144, fields.slots ?? 3n, true);
    view.setBigUint64(152, fields.cursor ?? 0n, true);
    for (let slot = 0; slot < 64; slot++) view.setUint32(184 + 4 * slot, fields.generation ?? 1, true);
    for (const [index, track] of (fields.tracks ?? []).entries()) {
      setTrackRing(view, 440 + index * trackRingSize, track);
    }
  });
}

export function refusal(
  code: number,
  text: string | Uint8Array = "no",
  fields: PrefixFields = {},
): Uint8Array {
  return message(kinds.refusal, 420, fields, (view) => {
    view.setInt32(16, code, true);
    new Uint8Array(view.buffer).set(typeof text === "string" ? new TextEncoder().encode(text) : text, 20);
  });
}

/** A track has got a ring, whose descriptor comes with it. */
export function track(index: number, ring: TrackRingFields, fields: PrefixFields = {}): Uint8Array {
  return message(kinds.track, 24 + trackRingSize, fields, (view) => {
    view.setUint32(16, index, true);
    setTrackRing(view, 24, ring);
  });
}

/** A slot has got memory, whose descriptor comes with it, or has lost it. */
export function memory(slot: number, generation: number, present = 1, fields: PrefixFields = {}): Uint8Array {
  return message(kinds.memory, 32, fields, (view) => {
    view.setUint32(16, slot, true);
    view.setUint32(20, generation, true);
    view.setUint32(24, present, true);
  });
}

export function released(fields: PrefixFields = {}): Uint8Array {
  return message(kinds.released, 16, fields);
}

/** A report with room for so many subscribers, which says that it has `count`. */
export function report(room: number, count: number = room, fields: PrefixFields = {}): Uint8Array {
  return message(kinds.report, 1768 + room * 104, fields, (view) => {
    view.setUint32(56, 8, true); // GRAY8
    view.setUint32(352, count, true);
  });
}

/** The code and text of a refusal; undefined for any other message. */
export function readRefusal(bytes: Uint8Array): { code: number; text: string } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length !== 420 || view.getUint32(8, true) !== kinds.refusal) return undefined;
  return {
    code: view.getInt32(16, true),
    text: new TextDecoder().decode(bytes.subarray(20)).replace(/\0+$/, ""),
  };
}

export function kindOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(8, true);
}

/** Offsets in the control region. */
export const control = {
  newest: 0xc0,
  slot: (index: number): number => 0x140 + index * 1152,
  generation: 8,
  captureTime: 0x28,
  metadataSize: 0x34,
  picture: 0x38,
} as const;

/** What a publisher writes of a frame's picture; each replaces 0. */
export interface PictureFields {
  visible?: readonly [x: number, y: number, width: number, height: number];
  display?: readonly [width: number, height: number];
  aspect?: readonly [num: number, den: number];
  rotation?: number;
  flip?: number;
  fieldOrder?: number;
  /** Primaries, transfer, matrix, range. */
  colors?: readonly [number, number, number, number];
  chromaLocation?: number;
}

export function picture(fields: PictureFields): Uint8Array {
  const view = new DataView(new ArrayBuffer(48));
  const { visible = [0, 0, 0, 0], display = [0, 0], aspect = [0, 0], rotation = 0 } = fields;
  const words = [...visible, ...display, ...aspect, rotation];
  for (const [index, word] of words.entries()) view.setUint32(4 * index, word, true);
  const { flip = 0, fieldOrder = 0, colors = [0, 0, 0, 0], chromaLocation = 0 } = fields;
  for (const [index, byte] of [flip, fieldOrder, ...colors, chromaLocation].entries()) {
    view.setUint8(36 + index, byte);
  }
  return new Uint8Array(view.buffer);
}

/** A sequence and its slot in one word. */
export function ticket(sequence: bigint, slot: number): Uint8Array {
  return word(sequence << 6n | BigInt(slot));
}

export function word(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}
