// What native code says of a frame that it delivers.

import { FLAG_CORRUPT, FLAG_DISCONTINUITY } from "../core/mod.ts";
import { FrameView, type Struct } from "../ffi/mod.ts";
import type { PictureView } from "./picture_view.ts";

/** Shared by all frames without metadata, which saves an allocation on the way from publish to the one who waits. */
const noMetadata = new Uint8Array(0);

/** What came with a frame; shared by its clones. */
export class FrameContent {
  readonly slot: number;
  readonly sequence: bigint;
  readonly timestampNs: bigint;
  readonly durationNs: bigint;
  readonly publishedNs: bigint;
  /** In UTC since 1970; null: not known. */
  readonly captureTimeNs: bigint | null;
  readonly picture: PictureView;
  readonly discontinuity: boolean;
  readonly corrupt: boolean;
  readonly metadata: Uint8Array<ArrayBuffer>;

  constructor(view: Struct, picture: PictureView, interrupted: boolean) {
    const captureTimeNs = view.i64(FrameView.recordCaptureTimeNs);
    const flags = view.u32(FrameView.recordFlags);
    const size = view.u32(FrameView.recordMetadataSize);
    this.slot = view.u32(FrameView.slot);
    this.sequence = view.u64(FrameView.sequence);
    this.timestampNs = view.i64(FrameView.recordTimestampNs);
    this.durationNs = view.u64(FrameView.recordDurationNs);
    this.publishedNs = view.u64(FrameView.recordPublishedNs);
    this.captureTimeNs = captureTimeNs > 0n ? captureTimeNs : null;
    this.picture = picture;
    this.discontinuity = interrupted || (flags & FLAG_DISCONTINUITY) !== 0;
    this.corrupt = (flags & FLAG_CORRUPT) !== 0;
    this.metadata = size === 0
      ? noMetadata
      : view.bytes.slice(FrameView.recordMetadata, FrameView.recordMetadata + size);
  }
}
