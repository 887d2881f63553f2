// A camera for tests: serves access units over RTSP on TCP, with an SDP that says what it is told to.

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Buffer } from "node:buffer";

/** The most of a unit that goes into one RTP packet. */
const PAYLOAD = 1300;

/** A camera that can be reached until it is disposed of. */
export interface Camera extends Disposable {
  readonly url: string;
}

/**
 * Serves pictures, 25 a second by their times and as fast as they are read, to each client from the first on.
 *
 * @param units NAL units of each picture
 * @param format what the SDP says of the format, such as `sprop-parameter-sets=…`
 */
export async function serveRtsp(
  codec: "h264" | "hevc",
  pictures: readonly (readonly Uint8Array[])[],
  format: string,
): Promise<Camera> {
  const name = codec === "h264" ? "H264" : "H265";
  const sdp = `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n` +
    `m=video 0 RTP/AVP 96\r\na=rtpmap:96 ${name}/90000\r\na=fmtp:96 ${format}\r\na=control:track\r\n`;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    socket.on("data", (request) => answer(socket, String(request)));
  });
  const answer = (socket: Socket, request: string) => {
    const [, method] = /^(\w+) /.exec(request) ?? [];
    const [, sequence] = /CSeq: *(\d+)/i.exec(request) ?? [];
    if (!method || !sequence) return; // RTCP
    const body = method === "DESCRIBE" ? sdp : "";
    const headers = {
      DESCRIBE: `Content-Type: application/sdp\r\nContent-Length: ${body.length}\r\n`,
      SETUP: "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
      OPTIONS: "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    };
    const own = headers[method as keyof typeof headers] ?? "Session: 1\r\n";
    socket.write(`RTSP/1.0 200 OK\r\nCSeq: ${sequence}\r\n${own}\r\n${body}`);
    if (method === "PLAY") socket.end(Buffer.concat([...rtpOf(codec, pictures)]));
  };
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `rtsp://127.0.0.1:${(server.address() as AddressInfo).port}/camera`,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** RTP packets, interleaved (RFC 2326 10.12). */
function* rtpOf(
  codec: "h264" | "hevc",
  pictures: readonly (readonly Uint8Array[])[],
): Generator<Uint8Array, void, void> {
  let sequence = 0;
  for (const [index, units] of pictures.entries()) {
    const payloads = units.flatMap((unit) => [...payloadsOf(codec, unit)]);
    for (const [at, payload] of payloads.entries()) {
      const header = Buffer.alloc(16);
      header.write("$");
      header.writeUInt16BE(12 + payload.length, 2);
      header[4] = 0x80;
      header[5] = 96 | (at === payloads.length - 1 ? 0x80 : 0);
      header.writeUInt16BE(sequence++ & 0xffff, 6);
      header.writeUInt32BE(index * 3600, 8);
      header.writeUInt32BE(1, 12);
      yield header;
      yield payload;
    }
  }
}

/** A unit whole, or in fragments (RFC 6184 5.8, RFC 7798 4.4.3). */
function* payloadsOf(codec: "h264" | "hevc", unit: Uint8Array): Generator<Uint8Array, void, void> {
  if (unit.length <= PAYLOAD) return yield unit;
  const size = codec === "h264" ? 1 : 2;
  const type = codec === "h264" ? unit[0]! & 31 : unit[0]! >> 1 & 63;
  const indicator = codec === "h264" ? [unit[0]! & 0xe0 | 28] : [unit[0]! & 0x81 | 49 << 1, unit[1]!];
  for (let at = size; at < unit.length; at += PAYLOAD) {
    const flags = (at === size ? 0x80 : 0) | (at + PAYLOAD >= unit.length ? 0x40 : 0);
    yield Buffer.concat([Uint8Array.of(...indicator, flags | type), unit.subarray(at, at + PAYLOAD)]);
  }
}
