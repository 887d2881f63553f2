// What a publisher tells of its ring.

import { NAME_SIZE_MAX, PUBLISHER_EVENTS } from "../core/mod.ts";
import { PublisherEvent as Layout, type Struct } from "../ffi/mod.ts";

/**
 * What happened to a publisher's ring.
 *
 * @example
 * ```ts
 * import { Publisher, type PublisherEvent } from "@cuframes/core";
 *
 * function tell(event: PublisherEvent): void {
 *   if (event.kind === "evicted") console.warn(`${event.name} held ${event.frames} frames and was evicted`);
 * }
 * using publisher = Publisher.create({ key: "cam-parking", width: 1280, height: 720, onEvent: tell });
 * ```
 */
export type PublisherEvent =
  | {
    /** The ring has got a slot, since none was free. */
    readonly kind: "grown";
    /** Slots from now on. */
    readonly slots: number;
    /** Who holds most, longest; undefined where nobody holds a frame but the publisher. */
    readonly holder: {
      /** The subscriber's name. */
      readonly name: string;
      /** Its process id; 0 where it has none in this PID namespace. */
      readonly pid: number;
      /** Frames that it holds. */
      readonly frames: number;
      /** How long ago the oldest of them was published, in seconds. */
      readonly heldFor: number;
    } | undefined;
  }
  | {
    /** The ring has lost a slot that nobody needed for 10 s. */
    readonly kind: "shrunk";
    /** Slots from now on. */
    readonly slots: number;
  }
  | {
    /** A subscriber lost its connection: it held most, longest, while no slot was free. */
    readonly kind: "evicted";
    /** The subscriber's name. */
    readonly name: string;
    /** The subscriber's process id; 0 where it has none in this PID namespace. */
    readonly pid: number;
    /** Frames that it held, and still does until it closes them: they stay as they are. */
    readonly frames: number;
    /** How long ago the oldest of them had been published, in seconds. */
    readonly heldFor: number;
  }
  | {
    /** A subscriber that was evicted again is not let in for a while: its process, or its user where that is another. */
    readonly kind: "refused";
    /** The subscriber's name. */
    readonly name: string;
    /** The subscriber's process id; 0 where it has none in this PID namespace. */
    readonly pid: number;
    /** For how long, in seconds. */
    readonly refusedFor: number;
  };

/** Reads an event that the native library has written. */
export function readEvent(struct: Struct): PublisherEvent {
  const kind = struct.u32(Layout.kind);
  if (kind === PUBLISHER_EVENTS.shrunk) return { kind: "shrunk", slots: struct.u32(Layout.slots) };
  const name = struct.text(Layout.name, NAME_SIZE_MAX + 1);
  const pid = struct.i32(Layout.pid);
  const frames = struct.u32(Layout.frames);
  const seconds = struct.count(Layout.durationNs) / 1e9;
  if (kind === PUBLISHER_EVENTS.evicted) return { kind: "evicted", name, pid, frames, heldFor: seconds };
  if (kind === PUBLISHER_EVENTS.grown) {
    const holder = frames === 0 ? undefined : { name, pid, frames, heldFor: seconds };
    return { kind: "grown", slots: struct.u32(Layout.slots), holder };
  }
  return { kind: "refused", name, pid, refusedFor: seconds };
}
