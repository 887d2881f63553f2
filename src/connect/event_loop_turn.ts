// Fairness towards the rest of the program. Promises that follow each other by microtask alone keep timers, signals and
// sockets from running. A loop that never has to wait, since there is always a frame, would do that for ever; so from time to
// time a wait goes round the event loop.

import { setImmediate } from "node:timers";

/** For how long whatever is ready may be handed out by microtask. */
const LONGEST_RUN_MS = 5;

let lastTurn = -Infinity;
let turn: Promise<void> | undefined;

/** Says that the event loop has just gone round: to be called by what runs on it. */
export function eventLoopTurned(): void {
  lastTurn = performance.now();
}

/** Resolved when the event loop has gone round; undefined where it has done so lately. */
export function eventLoopTurnIfDue(): Promise<void> | undefined {
  if (turn !== undefined) return turn;
  if (performance.now() - lastTurn < LONGEST_RUN_MS) return undefined;
  return turn = new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      eventLoopTurned();
      resolve();
    });
  });
}
