// The frames that a program holds, by the number of their lease or slot.

import { closedInTime, closeWhenCollected } from "../ffi/mod.ts";

/** A frame that is held until it is closed, or until nobody can reach it any more. */
export interface HeldFrame extends Disposable {
  /** From now on its pixels must not be reached but through buffers that keep the frame alive. */
  guard(): void;
}

/**
 * The frames that are held. The last one is held strongly: nearly every frame is closed before the next one comes, and
 * costs no more than that. One that is still open then is held weakly, and closed when it has been collected.
 */
export class HeldFrames {
  readonly #frames: (HeldFrame | WeakRef<HeldFrame> | undefined)[] = [];
  readonly #kind: string;
  readonly #opened: string;
  readonly #release: (index: number) => void;
  #newest = -1;
  #size = 0;

  /**
   * @param kind what they are, for a warning
   * @param opened where what they come from was opened
   * @param release ends the lease of one that was collected
   */
  constructor(kind: string, opened: string, release: (index: number) => void) {
    this.#kind = kind;
    this.#opened = opened;
    this.#release = release;
  }

  /** How many are held. */
  get size(): number {
    return this.#size;
  }

  /** Holds a frame. */
  add(index: number, frame: HeldFrame): void {
    if (this.#newest >= 0) this.loosen();
    this.#frames[index] = frame;
    this.#newest = index;
    this.#size++;
  }

  /** Says that the next frame is asked for: the last one is only held weakly from now on. */
  loosen(): void {
    const index = this.#newest;
    if (index < 0) return;
    this.#newest = -1;
    const frame = this.#frames[index] as HeldFrame;
    frame.guard();
    this.#frames[index] = new WeakRef(frame);
    closeWhenCollected(frame, this.#kind, this.#opened, () => this.#release(index));
  }

  /** Says that one is closed. */
  remove(index: number): void {
    const frame = this.#frames[index];
    if (frame === undefined) return;
    this.#frames[index] = undefined;
    this.#size--;
    if (index === this.#newest) {
      this.#newest = -1;
      return;
    }
    const left = (frame as WeakRef<HeldFrame>).deref();
    if (left !== undefined) closedInTime(left);
  }

  /** Closes all of them, and holds none. */
  close(): void {
    for (const [index, held] of this.#frames.entries()) {
      if (held === undefined) continue;
      const frame = index === this.#newest ? held as HeldFrame : (held as WeakRef<HeldFrame>).deref();
      this.remove(index);
      frame?.[Symbol.dispose]();
    }
  }
}
