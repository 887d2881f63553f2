// Native calls: the one room that knows which runtime this is.

export * from "./layout.ts";
export {
  checked,
  isOver,
  library,
  nativeError,
  nativeMessage,
  offWake,
  onWake,
  waitBegins,
  waitEnds,
  type Wakeable,
} from "./library.ts";
export type { NativeSymbols } from "./runtime.ts";
export { Struct } from "./struct.ts";
export { closedInTime, closeWhenCollected, openedHere } from "./unclosed.ts";
