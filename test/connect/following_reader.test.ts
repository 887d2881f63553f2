import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Connection } from "../../src/connect/connection.ts";
import type { ReconnectingConnection } from "../../src/connect/reconnect.ts";
import { CuframesError } from "../../src/core/errors.ts";
import { FollowingReader } from "../../src/connect/following_reader.ts";

/** Milliseconds that have passed. */
let now = 0;

beforeEach(() => {
  now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

/** Its publisher lives for some milliseconds and leaves nothing, or has a frame; the next comes some milliseconds later. */
interface Life {
  for: number;
  frame?: string;
  nextAfter: number;
}

function publishers(lives: Life[]) {
  const asked: { of: "frame" | "publisher"; timeout: number }[] = [];
  const connected = { notify: () => {}, joined: 0, goneOn: 0 };
  let current = 0;
  const connection = () => {
    const self = {
      join: () => {
        connected.joined++;
        return self;
      },
      leave: () => {},
    };
    return self as unknown as Connection;
  };
  let newest = connection();
  /** Whether an event so far away comes within the time-out; until then or for that long time passes. */
  const comes = (milliseconds: number, timeout: number) => {
    const inTime = timeout < 0 || milliseconds <= timeout;
    now += inTime ? milliseconds : timeout;
    return inTime;
  };
  const connections = {
    newest,
    follow: () => {},
    unfollow: () => {},
    after: (ended: Connection, timeout: number) => {
      if (ended !== newest) return newest;
      asked.push({ of: "publisher", timeout });
      if (!comes(lives[current]!.nextAfter, timeout)) return undefined;
      newest = connection();
      connected.notify();
      return newest;
    },
  };
  const reader = new FollowingReader<string>(connections as unknown as ReconnectingConnection, "frame", {
    check: () => {},
    take: (timeout: number) => {
      asked.push({ of: "frame", timeout });
      const life = lives[current]!;
      if (life.frame !== undefined) return life.frame;
      if (comes(life.for, timeout)) throw new CuframesError("DISCONNECTED", "the publisher is gone");
      return undefined;
    },
    arm: () => {},
    switchTo: () => {
      connected.goneOn++;
      current++;
    },
  });
  return { asked, connected, reader };
}

test("one time-out is for all publishers together", () => {
  const { asked, reader } = publishers([{ for: 30, nextAfter: 50 }, { for: 10, nextAfter: 1 }, {
    for: 1000,
    nextAfter: 0,
  }]);
  expect(reader.take(100, 0)).toBeUndefined();
  expect(asked).toEqual([
    { of: "frame", timeout: 100 },
    { of: "publisher", timeout: 70 },
    { of: "frame", timeout: 20 },
    { of: "publisher", timeout: 10 },
    { of: "frame", timeout: 9 },
  ]);
  expect(now).toBe(100);
});

test("a time-out that ends with the publisher is neither for ever nor none at all", () => {
  const { asked, reader } = publishers([{ for: 100, nextAfter: 5 }]);
  expect(reader.take(100, 0)).toBeUndefined();
  expect(asked).toEqual([{ of: "frame", timeout: 100 }, { of: "publisher", timeout: 1 }]);
});

test("whoever is notified while another one connects takes the first, and goes on but once", () => {
  const { reader, connected } = publishers([{ for: 0, nextAfter: 0 }, {
    for: 0,
    frame: "a frame",
    nextAfter: 0,
  }]);
  const first: unknown[] = [];
  connected.notify = () => first.push(reader.take(0, 0));
  expect(reader.take(1000, 0)).toBe("a frame");
  expect(first).toEqual(["a frame"]);
  expect(connected.joined).toBe(2);
  expect(connected.goneOn).toBe(1);
});

test("no time-out asks without waiting, and -1 waits for ever, whoever publishes", () => {
  for (const timeout of [0, -1]) {
    const life = timeout === 0 ? { for: 0, nextAfter: 0 } : { for: 1e9, nextAfter: 1e9 };
    const { asked, reader } = publishers([life, life, { ...life, frame: "the first" }]);
    expect(reader.take(timeout, 0)).toBe("the first");
    expect(asked.map((each) => each.timeout)).toEqual(new Array(5).fill(timeout));
  }
});
