// Rival: pictures through a named pipe, with blocking reads straight into the picture: the leanest way that the
// runtimes have.

import { closeSync, openSync, readSync, writeSync } from "node:fs";
import type { TransferRequest } from "../worker_protocol.ts";
import { cpuMicroseconds, picture, readEveryByte, sleep } from "./common.mjs";
import { ready, serve } from "./serve.mjs";

await serve({
  receive({ path, warmup, count, size, touch }: TransferRequest) {
    const bytes = new Uint8Array(size);
    ready();
    const fd = openSync(path, "r");
    let began = 0;
    let received = 0;
    for (let index = 0; index < warmup + count; index++) {
      if (index === warmup) began = cpuMicroseconds();
      for (let done = 0; done < size;) {
        const got = readSync(fd, bytes, done, size - done, null);
        if (got === 0) throw new Error("the pipe ended");
        done += got;
        received += got;
      }
      if (touch === "all") readEveryByte(bytes);
    }
    const cpuUs = cpuMicroseconds() - began;
    closeSync(fd);
    return { cpuUs, received };
  },

  send({ path, warmup, count, size, intervalMs }: TransferRequest) {
    const bytes = picture(size);
    const fd = openSync(path, "w");
    let began = 0;
    for (let index = 0; index < warmup + count; index++) {
      if (index === warmup) began = cpuMicroseconds();
      sleep(intervalMs);
      for (let done = 0; done < size;) done += writeSync(fd, bytes, done, size - done);
    }
    const cpuUs = cpuMicroseconds() - began;
    closeSync(fd);
    return { cpuUs };
  },
});
