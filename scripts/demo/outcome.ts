// What the demo's processes told, and whether it is what was promised.

import type { Mode } from "../../mod.ts";
import type { EventOf } from "./events.ts";

/** What a demo came to. */
export interface Outcome
  extends Pick<EventOf<"published">, "decoded" | "published" | "packets" | "decodedOnGpu"> {
  /** Where the frames were. */
  used: EventOf<"published">["memory"];
  subscribers: {
    name: string;
    runtime: string;
    mode: Mode;
    received: number;
    dropped: number;
    torn: number;
    latencyUs: { p50: number; p99: number };
    /** The last frame's sequence. */
    last: number;
  }[];
  recorded: Pick<EventOf<"recorded">, "packets" | "first" | "lost">;
}

/** What was promised and not kept, in sentences. */
export function broken({ published, packets, subscribers, recorded }: Outcome): string[] {
  const problems: string[] = [];
  for (const { name, mode, torn, received, dropped, last } of subscribers) {
    if (torn > 0) problems.push(`${name} saw ${torn} torn frames`);
    // It was there before the first frame; what it dropped before its own first one counts too.
    const accounted = received + dropped === published && last === published;
    if (mode === "ordered" && !accounted) {
      problems.push(`${name} accounts for ${received + dropped} of ${published} frames, up to frame ${last}`);
    }
  }
  if (published === 0) problems.push("no frame was published");
  if (recorded.lost > 0 || recorded.packets !== packets - recorded.first) {
    problems.push(
      `the recording has ${recorded.packets} of ${
        packets - recorded.first
      } packets from its first key packet on`,
    );
  }
  return problems;
}
