// Rival: pictures through ZeroMQ over ipc://, one message each. Runs on Node, for which its binding is made: under
// Bun it ends in an unsupported libuv call, under Deno it waits for ever.

import { Pull, Push } from "zeromq";
import { cpuMicroseconds, picture, readEveryByte, sleep } from "./common.mjs";
import { ready, serve } from "./serve.mjs";

await serve({
  async receive({ path, warmup, count, touch }) {
    const pull = new Pull();
    await pull.bind(`ipc://${path}`);
    ready();
    let began = 0;
    let received = 0;
    for (let index = 0; index < warmup + count; index++) {
      if (index === warmup) began = cpuMicroseconds();
      const [message] = await pull.receive();
      received += message.length;
      if (touch === "all") readEveryByte(message);
    }
    const cpuUs = cpuMicroseconds() - began;
    pull.close();
    return { cpuUs, received };
  },

  async send({ path, warmup, count, size, intervalMs }) {
    const bytes = picture(size);
    const push = new Push();
    push.connect(`ipc://${path}`);
    let began = 0;
    for (let index = 0; index < warmup + count; index++) {
      if (index === warmup) began = cpuMicroseconds();
      sleep(intervalMs);
      await push.send(bytes);
    }
    const cpuUs = cpuMicroseconds() - began;
    push.close();
    return { cpuUs };
  },
});
