// Fairness towards the rest of the program. Promises that follow each other by microtask alone keep timers, signals and
// sockets from running. A loop that never has to wait, since there is always a frame, would do that for ever; so from time to
// time a wait goes round the event loop.

import { setImmediate, setTimeout } from "node:timers";

/** For how long whatever is ready may be handed out by microtask. */
const LONGEST_RUN_MS = 5;
/**
 * For how long immediates may follow each other on Deno. It looks at its sockets where it has nothing else to do, or once in
 * 61 turns; so at times there has to be nothing else, which takes a timer, and that takes a millisecond.
 */
const LONGEST_BUSY_MS = 20;

let lastTurn = -Infinity;
let lastRest = -Infinity;
let turn: Promise<void> | undefined;

/** Says that the event loop has just gone round: to be called by what runs on it. */
export function eventLoopTurned(): void {
  lastTurn = Date.now();
}

/** Asked for every frame: the clock of the day costs a tenth of the other one on Deno. It may be set back. */
function isTurnDue(): boolean {
  const elapsed = Date.now() - lastTurn;
  return elapsed >= LONGEST_RUN_MS || elapsed < 0;
}

/** Resolved when the event loop has gone round; undefined where it has done so lately. */
export function eventLoopTurnIfDue(): Promise<void> | undefined {
  if (turn !== undefined) return turn;
  if (!isTurnDue()) return undefined;
  return turn = new Promise((resolve) => {
    const turned = () => {
      turn = undefined;
      eventLoopTurned();
      resolve();
    };
    // The timer begins behind what the other loops of this program do meanwhile, or it would be over before there is a rest.
    setImmediate(() => restIsDue() ? setTimeout(rested, 0) : turned());
    const rested = () => {
      lastRest = performance.now();
      turned();
    };
  });
}

function restIsDue(): boolean {
  return "Deno" in globalThis && performance.now() - lastRest >= LONGEST_BUSY_MS;
}
