// An RTSP server of a test's own, over TCP: it says what tracks there are, and sends what the test wants.

import { type AddressInfo, createServer, type Socket } from "node:net";

/** A track as SDP describes it. */
export interface RtspTrack {
  readonly media: "audio" | "video" | "application";
  /** RTP's number of the payload's type. */
  readonly payloadType: number;
  /** As `"H264/90000"`. */
  readonly rtpmap: string;
  readonly fmtp?: string;
}

/** Sends on one connection. */
export interface RtspSender {
  /** One frame, cut into RTP packets where it is H.264 (Annex B). */
  frame(track: number, rtpTime: number, data: Uint8Array): void;
  /** A sender report: what the wall clock, in seconds, was at an RTP time. */
  report(track: number, wallClock: number, rtpTime: number): void;
}

export interface RtspServer extends Disposable {
  readonly url: string;
}

/** Serves the tracks; `play` sends, and the connection ends behind it. */
export async function serveRtsp(
  tracks: readonly RtspTrack[],
  play: (sender: RtspSender) => Promise<void>,
): Promise<RtspServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    const channels = new Map<number, number>();
    let request = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      request = Buffer.concat([request, bytes]);
      for (;;) {
        // What the client reports of its own reception.
        while (request[0] === 0x24 && request.length >= 4 && request.length >= 4 + request.readUInt16BE(2)) {
          request = request.subarray(4 + request.readUInt16BE(2));
        }
        const end = request.indexOf("\r\n\r\n");
        if (end < 0) return;
        const head = request.subarray(0, end).toString();
        request = request.subarray(end + 4);
        answer(socket, tracks, channels, head);
        if (!head.startsWith("PLAY")) continue;
        play(senderOf(socket, tracks, channels)).then(() => socket.end(), () => socket.destroy());
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `rtsp://127.0.0.1:${(server.address() as AddressInfo).port}/stream`,
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function answer(
  socket: Socket,
  tracks: readonly RtspTrack[],
  channels: Map<number, number>,
  head: string,
): void {
  const header = (name: string) => new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1]?.trim();
  const lines = [`CSeq: ${header("CSeq")}`];
  let body = "";
  if (head.startsWith("OPTIONS")) lines.push("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN");
  if (head.startsWith("DESCRIBE")) {
    body = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=test", "t=0 0", ...tracks.flatMap(describe)].join("\r\n") +
      "\r\n";
    lines.push("Content-Type: application/sdp", `Content-Length: ${body.length}`);
  }
  if (head.startsWith("SETUP")) {
    const channel = Number(/interleaved=(\d+)/.exec(header("Transport")!)![1]);
    channels.set(Number(/track(\d+)/.exec(head)![1]), channel);
    lines.push("Session: 1", `Transport: RTP/AVP/TCP;unicast;interleaved=${channel}-${channel + 1}`);
  }
  if (head.startsWith("PLAY")) lines.push("Session: 1");
  socket.write(`RTSP/1.0 200 OK\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
}

function describe({ media, payloadType, rtpmap, fmtp }: RtspTrack, index: number): string[] {
  return [
    `m=${media} 0 RTP/AVP ${payloadType}`,
    `a=rtpmap:${payloadType} ${rtpmap}`,
    ...(fmtp ? [`a=fmtp:${payloadType} ${fmtp}`] : []),
    `a=control:track${index}`,
  ];
}

function senderOf(socket: Socket, tracks: readonly RtspTrack[], channels: Map<number, number>): RtspSender {
  const sequences = tracks.map(() => 0);
  const interleaved = (channel: number, data: Buffer) => {
    const head = Buffer.from([0x24, channel, data.length >> 8, data.length & 0xff]);
    socket.write(Buffer.concat([head, data]));
  };
  const rtp = (track: number, rtpTime: number, marker: boolean, payload: Uint8Array) => {
    const head = Buffer.alloc(12);
    head[0] = 0x80;
    head[1] = (marker ? 0x80 : 0) | tracks[track]!.payloadType;
    head.writeUInt16BE(sequences[track]!++ & 0xffff, 2);
    head.writeUInt32BE(rtpTime >>> 0, 4);
    head.writeUInt32BE(track + 1, 8);
    interleaved(channels.get(track)!, Buffer.concat([head, payload]));
  };
  return {
    frame(track, rtpTime, data) {
      if (!tracks[track]!.rtpmap.startsWith("H264")) return rtp(track, rtpTime, true, data);
      const payloads = nalUnits(data).flatMap(fragments);
      payloads.forEach((payload, index) => rtp(track, rtpTime, index === payloads.length - 1, payload));
    },
    report(track, wallClock, rtpTime) {
      const report = Buffer.alloc(28);
      report.set([0x80, 200, 0, 6]);
      report.writeUInt32BE(track + 1, 4);
      report.writeUInt32BE(Math.floor(wallClock) + 2_208_988_800, 8);
      report.writeUInt32BE(Math.floor(wallClock % 1 * 2 ** 32), 12);
      report.writeUInt32BE(rtpTime >>> 0, 16);
      interleaved(channels.get(track)! + 1, report);
    },
  };
}

function nalUnits(data: Uint8Array): Buffer[] {
  const buffer = Buffer.from(data);
  const starts: number[] = [];
  for (let at = buffer.indexOf("\0\0\x01"); at >= 0; at = buffer.indexOf("\0\0\x01", at + 3)) {
    starts.push(at + 3);
  }
  return starts.map((start, index) => {
    let end = index + 1 < starts.length ? starts[index + 1]! - 3 : buffer.length;
    while (buffer[end - 1] === 0) end--;
    return buffer.subarray(start, end);
  });
}

/** RFC 6184, 5.8: FU-A for units that are too long for a packet. */
function fragments(unit: Buffer): Buffer[] {
  if (unit.length <= 1400) return [unit];
  const parts: Buffer[] = [];
  for (let at = 1; at < unit.length; at += 1398) {
    const [first, last] = [at === 1 ? 0x80 : 0, at + 1398 >= unit.length ? 0x40 : 0];
    const head = Buffer.from([(unit[0]! & 0xe0) | 28, first | last | (unit[0]! & 0x1f)]);
    parts.push(Buffer.concat([head, unit.subarray(at, at + 1398)]));
  }
  return parts;
}
