// What every worker measures with, so that each variant is measured alike.

import process from "node:process";

const never = new Int32Array(new SharedArrayBuffer(4));

/**
 * Sleeps on this thread; 0 does not.
 *
 * @param {number} milliseconds
 */
export function sleep(milliseconds) {
  if (milliseconds > 0) Atomics.wait(never, 0, 0, milliseconds);
}

/** User and system time of this process with all its threads, in microseconds. */
export function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * A picture to send.
 *
 * @param {number} size
 */
export function picture(size) {
  return Uint8Array.from({ length: size }, (_, index) => index * 31);
}

/** Where the sums go, so that no compiler leaves the reading out. */
let total = 0;

/**
 * Reads every byte, four at a time where they are aligned.
 *
 * @param {Uint8Array} bytes
 */
export function readEveryByte(bytes) {
  const head = Math.min((4 - bytes.byteOffset % 4) % 4, bytes.length);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + head, (bytes.length - head) >> 2);
  let sum = total;
  for (let index = 0; index < head; index++) sum = (sum + bytes[index]) | 0;
  for (let index = 0; index < words.length; index++) sum = (sum + words[index]) | 0;
  for (let index = head + words.length * 4; index < bytes.length; index++) sum = (sum + bytes[index]) | 0;
  total = sum;
}
