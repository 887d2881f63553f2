// Which frames are damaged, from what happened to their packets.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openMedia } from "../../media.ts";
import { Damage, type PacketState } from "../../src/media/damage.ts";
import { ffmpeg } from "../support/cli.ts";
import { directory, hasFfmpeg } from "../support/media.ts";

describe("a stream with intra refresh", () => {
  /** One picture a time unit, and what is said of each: x damaged, . whole. */
  function said(packets: string): string {
    const damage = new Damage();
    return [...packets].map((packet, index) => {
      const timestampNs = BigInt(index);
      const state: PacketState = {
        ...{ timestampNs, decodeTimestampNs: timestampNs, discontinuity: false },
        ...{ key: "KC".includes(packet), corrupt: "cC".includes(packet), lost: packet === "l" },
      };
      damage.packet(state);
      return damage.frame(timestampNs, packet === "I").corrupt ? "x" : ".";
    }).join("");
  }

  test.each([
    // K begins to replace the picture; I is a key frame.
    ["KppcppKpppKppp", "...xxxxxxx...."],
    ["KpplppKpppKppp", "...xxxxxxx...."],
    // What is damaged again begins again.
    ["KpcpKpcpKpppKp", "..xxxxxxxxxx.."],
    ["KppCppKpppKppp", "...xxxxxxx...."],
    ["KpcppIppp", "..xxx...."],
    ["KpcppKpppIp", "..xxxxxxx.."],
  ])("%s is %s", (packets, expected) => {
    expect(said(packets)).toBe(expected);
  });

  test.skipIf(!hasFfmpeg())(
    "that loses data is whole again when all of its picture was replaced",
    async () => {
      const path = join(directory, "refresh.ts");
      ffmpeg([
        ...[
          "-f",
          "lavfi",
          "-i",
          "testsrc2=s=320x240:r=25",
          "-t",
          "8",
          "-c:v",
          "libx264",
          "-pix_fmt",
          "yuv420p",
        ],
        ...["-x264-params", "intra-refresh=1:keyint=25:bframes=0:scenecut=0", "-y", path],
      ]);
      const bytes = readFileSync(path);
      const lossy = join(directory, "refresh_lossy.ts");
      // A packet of the transport in the middle is gone: not the first one of a picture.
      let at = Math.floor(bytes.length / 188 / 3) * 188;
      while ((bytes[at + 1]! & 0x40) !== 0 || (bytes[at + 1]! & 0x1f) !== 1 || bytes[at + 2] !== 0) at += 188;
      writeFileSync(lossy, new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at + 188)]));
      await using media = await openMedia(lossy);
      let frames = "";
      for await (const event of media) if (event.kind === "frame") frames += event.corrupt ? "x" : ".";
      expect(frames).toMatch(/^\.{30,}x{25,52}\.{80,}$/);
    },
  );
});
