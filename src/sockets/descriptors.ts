// File descriptors as numbers.

import { checkInteger, INT32_MAX } from "../core/mod.ts";
import { checked, library } from "../ffi/mod.ts";

/**
 * Closes a descriptor that this process was handed, such as one of {@linkcode DescriptorMessage.takeFds}; once. Where a
 * peer has sent a file of a file system that it serves itself (FUSE), this waits for its answer.
 *
 * @example
 * ```ts
 * import { closeDescriptor, DescriptorSocket } from "@cuframes/core";
 *
 * using socket = await DescriptorSocket.connect("/run/app.sock");
 * using message = await socket.receive();
 * for (const fd of message.takeFds()) closeDescriptor(fd);
 * ```
 */
export function closeDescriptor(fd: number): void {
  checked(library().symbols.cuframes_descriptor_close(checkDescriptor("fd", fd)), `closing descriptor ${fd}`);
}

/** Passes a number through that can be a file descriptor. */
export function checkDescriptor(name: string, fd: number): number {
  return checkInteger(name, fd, 0, INT32_MAX);
}
