// Sockets of the caller's own, for messages with file descriptors.

export { DescriptorListener, type ListenOptions } from "./descriptor_listener.ts";
export { DescriptorMessage } from "./descriptor_message.ts";
export { DescriptorSocket, type PeerCredentials } from "./descriptor_socket.ts";
export { checkDescriptor, closeDescriptor } from "./descriptors.ts";
