// One end of a connection that passes descriptors, which does what the test says.

import process from "node:process";
import { type DescriptorListener, DescriptorSocket, importDmabuf, type ListenOptions } from "../../../mod.ts";
import { Memfd, openDescriptors } from "../memfd.ts";
import { hog, unhog } from "./descriptors.ts";
import { optionsOf, report, serve } from "./worker.ts";

export interface Options {
  address: string;
}

/** Each reports what is named behind it, or "refused" with the error's code and message. */
export type Command =
  /** "listening" */
  | { do: "listen"; options?: ListenOptions }
  /** "connected", with the peer's credentials */
  | { do: "accept" | "connect"; timeout?: number }
  /** "moved" to another directory while it waits, then "connected" */
  | { do: "connectAndMove"; directory: string }
  /** "sent": a message of that many bytes with so many descriptors of memory that begins with `value` */
  | { do: "send"; bytes: number; fds: number; value: number }
  /** "received", with the size, how many descriptors, and the first byte behind each */
  | { do: "receive"; timeout?: number }
  /** "received", then "imported": takes the message's first descriptor for a picture's, and leaves it open. */
  | { do: "import" }
  /** "restarted": listened and closed again and again for so long; how often, and what went wrong */
  | { do: "restart"; milliseconds: number; options?: ListenOptions }
  /** "descriptors", of the kinds that are passed */
  | { do: "descriptors" }
  /** "hogged": all but so many descriptors are in use */
  | { do: "hog"; spare: number }
  /** "unhogged" */
  | { do: "unhog" }
  /** "moved": this directory is the process's. */
  | { do: "chdir"; directory: string }
  /** "closed" */
  | { do: "close" };

const { address } = optionsOf<Options>();
let listener: DescriptorListener | undefined;
let socket: DescriptorSocket | undefined;

function firstByteOf(fd: number): number {
  using file = Memfd.of(fd, 4096);
  return file.bytes[0]!;
}

function restart(milliseconds: number, options?: ListenOptions): { starts: number; refusals: string[] } {
  const end = performance.now() + milliseconds;
  const refusals: string[] = [];
  let starts = 0;
  for (; performance.now() < end; starts++) {
    try {
      DescriptorSocket.listen(address, options).close();
    } catch (error) {
      refusals.push(String(error));
    }
  }
  return { starts, refusals };
}

async function obey(command: Command): Promise<void> {
  switch (command.do) {
    case "listen":
      listener = DescriptorSocket.listen(address, command.options);
      return report("listening");
    case "accept":
      socket = await listener!.accept({ timeout: command.timeout ?? 10_000 });
      return report("connected", socket.peer);
    case "connect":
      socket = await DescriptorSocket.connect(address, { timeout: command.timeout ?? 10_000 });
      return report("connected", socket.peer);
    case "connectAndMove": {
      const connection = DescriptorSocket.connect(address, { timeout: 10_000 });
      process.chdir(command.directory);
      report("moved");
      socket = await connection;
      return report("connected", socket.peer);
    }
    case "send": {
      using file = new Memfd(4096);
      file.bytes[0] = command.value;
      await socket!.send(
        new Uint8Array(command.bytes).fill(command.value),
        new Array(command.fds).fill(file.fd),
      );
      return report("sent");
    }
    case "receive": {
      using message = await socket!.receive({ timeout: command.timeout ?? 10_000 });
      return report("received", {
        size: message.bytes.length,
        whole: message.bytes.every((byte) => byte === message.bytes[0]),
        values: message.fds.map(firstByteOf),
      });
    }
    case "import": {
      const { fds } = await socket!.receive({ timeout: 10_000 });
      report("received", { fds: fds.length });
      importDmabuf({ width: 4, height: 4, fourcc: "R8", planes: [{ fd: fds[0]!, offset: 0, stride: 4 }] });
      return report("imported");
    }
    case "restart":
      return report("restarted", restart(command.milliseconds, command.options));
    case "descriptors":
      return report("descriptors", { open: openDescriptors() });
    case "hog":
      return report("hogged", { count: hog(command.spare) });
    case "unhog":
      unhog();
      return report("unhogged");
    case "chdir":
      process.chdir(command.directory);
      return report("moved");
    case "close":
      socket?.close();
      listener?.close();
      return report("closed");
  }
}

await serve(obey);
