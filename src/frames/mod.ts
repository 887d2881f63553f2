export { inspect, type InspectOptions, type PublisherReport, type SubscriberReport } from "./inspect.ts";
export {
  type DevicePicture,
  type FrameInit,
  type ImageCopyOptions,
  type Policy,
  Publisher,
  type PublisherOptions,
  type PublisherStats,
  WritableFrame,
} from "./publisher.ts";
export { Frame, type Mode, Subscriber, type SubscriberOptions, type SubscriberStats } from "./subscriber.ts";
