export { connect, connectSocket, type Greeting } from "./connect.ts";
export { type Connection, Succession } from "./connection.ts";
export { Following } from "./following_reader.ts";
export { waitInSlices, Waits } from "./wait_queue.ts";
