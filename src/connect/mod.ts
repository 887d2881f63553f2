// Reaching a publisher, waiting, and going on from one connection to the next.

export { connect, type ConnectRequest, connectSocket } from "./connect.ts";
export type { Connection } from "./connection.ts";
export { FollowingReader } from "./following_reader.ts";
export { type HeldConnections, ReconnectingConnection } from "./reconnect.ts";
export { waitInSlices } from "./wait_in_slices.ts";
export { WaitQueue } from "./wait_queue.ts";
