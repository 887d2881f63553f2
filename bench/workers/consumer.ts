// A consumer that does nothing with what comes: `consumer.ts HOW KEY`, until it is killed. Its CPU time is measured from
// outside. Says when it begins to wait for what never comes.

import process from "node:process";
import { Subscriber } from "../../mod.ts";

const [how, key = ""] = process.argv.slice(2);

switch (how) {
  case "nextSync": {
    using camera = await Subscriber.connect(key);
    for (;;) camera.nextSync().close();
  }
  case "packets": {
    using camera = await Subscriber.connect(key, { frames: false });
    for await (const packet of camera.packets()) void packet.data;
    break;
  }
  case "pending": {
    using camera = await Subscriber.connect(key);
    console.log("waiting");
    await camera.next();
    break;
  }
  case "connecting": {
    console.log("waiting");
    await Subscriber.connect(key, { timeout: Infinity });
    break;
  }
  default:
    throw new Error(`${how}: there is no such way`);
}
