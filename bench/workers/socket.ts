// Rival: a Unix stream socket, as `node:net` does it.

import { createConnection, createServer, type Socket } from "node:net";
import { rmSync } from "node:fs";
import { once } from "node:events";
import type { PingRequest, TransferRequest } from "../worker_protocol.ts";
import { monotonicNow } from "../../mod.ts";
import { cpuMicroseconds, picture, readEveryByte, sleep } from "./common.mjs";
import { ready, serve } from "./serve.mjs";

/** The one connection that a sender makes. `ready` is said when it can be made. */
async function accept(path: string): Promise<{ socket: Socket; close: () => void }> {
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  ready();
  const [socket] = await once(server, "connection") as [Socket];
  const close = () => {
    socket.destroy();
    server.close();
    rmSync(path, { force: true });
  };
  return { socket, close };
}

async function connect(path: string): Promise<Socket> {
  const socket = createConnection(path);
  await once(socket, "connect");
  return socket;
}

const written = (socket: Socket, bytes: Uint8Array) => new Promise((resolve) => socket.write(bytes, resolve));

await serve({
  /** Nanoseconds from before each message's write to its "data" event. */
  async receivePings({ path, warmup }: PingRequest) {
    const { socket, close } = await accept(path);
    const latencyNs: number[] = [];
    socket.on("data", (chunk: Uint8Array) => {
      const now = monotonicNow();
      const sent = new DataView(chunk.buffer, chunk.byteOffset + chunk.length - 8).getBigUint64(0);
      latencyNs.push(Number(now - sent));
    });
    await once(socket, "end");
    close();
    return { latencyNs: latencyNs.slice(warmup) };
  },

  async sendPings({ path, warmup, count, intervalMs }: PingRequest) {
    const message = new DataView(new ArrayBuffer(8));
    const socket = await connect(path);
    for (let index = 0; index < warmup + count; index++) {
      sleep(intervalMs);
      message.setBigUint64(0, monotonicNow());
      await written(socket, new Uint8Array(message.buffer));
    }
    socket.end();
    await once(socket, "close");
  },

  /** Pictures are not put together again: each chunk is read where it lies. */
  async receive({ path, warmup, size, touch }: TransferRequest) {
    const { socket, close } = await accept(path);
    let received = 0;
    let began: number | undefined;
    socket.on("data", (chunk: Uint8Array) => {
      received += chunk.length;
      if (touch === "all") readEveryByte(chunk);
      if (received >= warmup * size) began ??= cpuMicroseconds();
    });
    await once(socket, "end");
    const cpuUs = cpuMicroseconds() - (began ?? 0);
    close();
    return { cpuUs, received };
  },

  async send({ path, warmup, count, size, intervalMs }: TransferRequest) {
    const bytes = picture(size);
    const socket = await connect(path);
    let began = 0;
    for (let index = 0; index < warmup + count; index++) {
      if (index === warmup) began = cpuMicroseconds();
      sleep(intervalMs);
      await written(socket, bytes);
    }
    const cpuUs = cpuMicroseconds() - began;
    socket.end();
    await once(socket, "close");
    return { cpuUs };
  },
});
