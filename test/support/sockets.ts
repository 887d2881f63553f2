// Pairs of connected descriptor sockets.

import { CuframesError, type DescriptorListener, DescriptorSocket } from "../../mod.ts";

/** A connection, both of its ends, and its listener. */
export interface Pair extends Disposable {
  listener: DescriptorListener;
  client: DescriptorSocket;
  server: DescriptorSocket;
}

/** Listens on an address, connects to it, and accepts. */
export async function connected(at: string): Promise<Pair> {
  const listener = DescriptorSocket.listen(at);
  const client = await DescriptorSocket.connect(at);
  const server = await listener.accept();
  return {
    listener,
    client,
    server,
    [Symbol.dispose]() {
      for (const each of [client, server, listener]) each.close();
    },
  };
}

/** The code of the error that an attempt fails with. */
export function codeOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    if (error instanceof CuframesError) return error.code;
    throw error;
  }
  return "success";
}

/** A message of these bytes. */
export const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);
