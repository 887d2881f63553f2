export {
  checkDescriptor,
  closeDescriptor,
  DescriptorListener,
  DescriptorMessage,
  DescriptorSocket,
  type ListenOptions,
  type PeerCredentials,
} from "./descriptor_socket.ts";
