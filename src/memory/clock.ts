// The clock that all processes of the machine share.

import { library } from "../ffi/mod.ts";

/**
 * CLOCK_MONOTONIC in nanoseconds: the clock of `Frame.publishedNs`, the same in every process of the machine.
 *
 * @example
 * ```ts
 * import { monotonicNow, Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * console.log(`${(monotonicNow() - frame.publishedNs) / 1000n} µs old`);
 * ```
 */
export function monotonicNow(): bigint {
  return library().symbols.cuframes_now_ns();
}
