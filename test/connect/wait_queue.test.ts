// Promises for something that native code announces.

import { expect, test } from "vitest";
import { CuframesError } from "../../mod.ts";
import { WaitQueue } from "../../src/connect/wait_queue.ts";
import { expectCode } from "../support/ring.ts";

test("a wait that cannot even begin fails, and takes nothing later", async () => {
  const things = ["a", "b"];
  let failing = true;
  const waits = new WaitQueue("thing", () => failing ? undefined : things.shift(), () => {
    if (failing) throw new CuframesError("OUT_OF_MEMORY", "no thread");
  });
  await expectCode(waits.wait(), "OUT_OF_MEMORY", "no thread");
  failing = false;
  waits.notify();
  expect(await waits.wait()).toBe("a");
});
