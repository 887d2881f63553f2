import { library } from "./ffi/library.ts";

/** CLOCK_MONOTONIC in nanoseconds: the clock of `Frame.publishedNs`, the same in every process of the machine. */
export function monotonicNow(): bigint {
  return library().symbols.cuframes_now_ns();
}
