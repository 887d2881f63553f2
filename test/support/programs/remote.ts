// A subscriber that does what the test says, one command after the other.

import process from "node:process";
import {
  type Frame,
  inspect,
  type InspectOptions,
  Packet,
  Subscriber,
  type SubscriberOptions,
} from "../../../mod.ts";
import { isWhole } from "./content.ts";
import { hog, unhog } from "./descriptors.ts";
import { optionsOf, type Outcome, outcomeOf, report, serve } from "./worker.ts";

export interface Options {
  key: string;
  runtimeDirectory: string;
}

/** Each reports what is named behind it, or "refused" with the error's code and message. */
export type Command =
  /** "connected" */
  | { do: "connect"; options?: SubscriberOptions }
  /** "inspected"; `of`: another key's publisher. */
  | { do: "inspect"; options?: InspectOptions; of?: string }
  /** "took", with the frame's sequence; without a time-out it waits for ever; `sync`: with `nextSync`. */
  | { do: "take"; timeout?: number; sync?: boolean }
  /** "packet", with its sequence; `wait`: for the ring, too. */
  | { do: "takePacket"; timeout?: number; wait?: boolean; sync?: boolean }
  /** "holding", with their sequences, once so many are held; `timeout`: of each. */
  | { do: "hold"; frames: number; timeout?: number }
  /** "iterating" with the first frame, of which each is closed at once; "iterated", with how that ended. */
  | { do: "iterate"; packets?: boolean }
  /** "stats" */
  | { do: "stats" }
  /** Begins another command, and obeys the next one meanwhile. */
  | { do: "begin"; command: Command }
  /** "checked", with how many of the held frames are not whole */
  | { do: "check" }
  /** "released": every frame */
  | { do: "release" }
  /** "closed" */
  | { do: "close" }
  /** "hogged": every descriptor but so many is in use. */
  | { do: "hog"; spare: number }
  /** "unhogged" */
  | { do: "unhog" }
  /** "moved": this directory is the process's. */
  | { do: "chdir"; directory: string };

const { key, runtimeDirectory } = optionsOf<Options>();
const held: Frame[] = [];
let subscriber: Subscriber | undefined;

function current(): Subscriber {
  if (subscriber === undefined) throw new Error("there is no subscriber");
  return subscriber;
}

function release(): void {
  for (const frame of held.splice(0)) frame.close();
}

/** What was iterated over. */
export interface Iterated {
  count: number;
  torn: number;
  /** The last one's sequence. */
  last: number;
}

/** How iterating ends: by itself, or with an error. */
async function iterate(packets: boolean): Promise<Outcome & Iterated> {
  let [count, torn, last] = [0, 0, 0];
  try {
    for await (const each of packets ? current().packets({ wait: true }) : current()) {
      if (!(each instanceof Packet)) {
        if (!(await isWhole(each))) torn++;
        each.close();
      }
      last = Number(each.sequence);
      if (count++ === 0) report("iterating");
    }
    return { code: "end", message: "", count, torn, last };
  } catch (error) {
    return { ...outcomeOf(error), count, torn, last };
  }
}

/** What a frame says of its picture, in short. */
function pictureOf(frame: Frame): object {
  const { visibleRect: { x, y, width, height }, colorSpace } = frame;
  const { rotation, flip, fieldOrder, chromaLocation, captureTime } = frame;
  return {
    visible: [x, y, width, height],
    display: [frame.displayWidth, frame.displayHeight],
    colors: [colorSpace.primaries, colorSpace.transfer, colorSpace.matrix, colorSpace.fullRange],
    ...{ rotation, flip, fieldOrder, chromaLocation, captureTime },
  };
}

async function obey(command: Command): Promise<void> {
  switch (command.do) {
    case "connect":
      subscriber = await Subscriber.connect(key, { runtimeDirectory, ...command.options });
      return report("connected");
    case "inspect":
      return report("inspected", await inspect(command.of ?? key, { runtimeDirectory, ...command.options }));
    case "take": {
      const { timeout = Infinity } = command;
      const frame = command.sync ? current().nextSync({ timeout }) : await current().next({ timeout });
      held.push(frame);
      return report("took", {
        sequence: Number(frame.sequence),
        whole: await isWhole(frame),
        picture: pictureOf(frame),
      });
    }
    case "takePacket": {
      using reader = current().packets({ wait: command.wait ?? false });
      const { timeout = Infinity } = command;
      const packet = command.sync ? reader.nextSync({ timeout }) : await reader.next({ timeout });
      return report("packet", { sequence: Number(packet.sequence) });
    }
    case "hold":
      while (held.length < command.frames) {
        held.push(await current().next({ timeout: command.timeout ?? 5000 }));
      }
      return report("holding", { sequences: held.map(({ sequence }) => Number(sequence)) });
    case "iterate":
      return report("iterated", await iterate(command.packets ?? false));
    case "stats":
      return report("stats", current().stats());
    case "begin":
      obey(command.command).catch((error) => report("refused", outcomeOf(error)));
      return;
    case "check":
      return report("checked", {
        torn: (await Promise.all(held.map(isWhole))).filter((whole) => !whole).length,
      });
    case "release":
      release();
      return report("released");
    case "close":
      release();
      subscriber?.close();
      subscriber = undefined;
      return report("closed");
    case "hog":
      return report("hogged", { count: hog(command.spare) });
    case "chdir":
      process.chdir(command.directory);
      return report("moved");
    case "unhog":
      unhog();
      return report("unhogged");
  }
}

await serve(obey);
