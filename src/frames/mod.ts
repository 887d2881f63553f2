// Publishing frames, subscribing to them, and asking publishers what they do.

export { Frame } from "./frame.ts";
export type { DevicePicture, FrameInit, ImageCopyOptions } from "./frame_init.ts";
export {
  type EvictionReport,
  inspect,
  type InspectOptions,
  type PublisherReport,
  type SubscriberReport,
  type TrackReport,
} from "./inspect.ts";
export type { PictureInit } from "./picture_init.ts";
export type { PictureView } from "./picture_view.ts";
export { Publisher, type PublisherStats } from "./publisher.ts";
export type { PublisherEvent } from "./publisher_event.ts";
export type { Policy, PublisherOptions, TrackPublisherOptions } from "./publisher_options.ts";
export { type Mode, Subscriber, type SubscriberOptions, type SubscriberStats } from "./subscriber.ts";
export { WritableFrame } from "./writable_frame.ts";
