// A film that shows whether picture and sound belong together: each second has a flash, white frames, and a beep from the
// same instant. Both last as long as only every fifth pair does, so that a beep is not taken for its neighbour's.

import { outputOf } from "../lib/process.ts";

const FRAME_RATE = 25;
const SAMPLE_RATE = 48_000;
/** Behind the key frame, where files begin: the first frame of a file is no flash that is cut. */
const FLASH_FRAME = 10;

/** Lengths of flashes and beeps, in frames: 1 to this. */
export const LENGTHS = 5;
/** Seconds that a frame is shown. */
export const FRAME: number = 1 / FRAME_RATE;
/** A flash or a beep each so many seconds. */
export const PERIOD = 1;
/** Mean luma, of 255, from which on a frame is a flash. */
export const FLASH_LUMA = 200;
/** Level in dB, from which on sound is a beep. */
export const BEEP_LEVEL = -30;

/** Makes such a film: H.264 with a key frame a second and no B-frames, as cameras send it, and AAC. */
export async function makeSyncFilm(path: string, seconds: number): Promise<void> {
  const inSecond = `mod(n,${FRAME_RATE})`;
  const last = `${FLASH_FRAME}+mod(floor(n/${FRAME_RATE}),${LENGTHS})`;
  const flash = `drawbox=color=white:t=fill:enable='between(${inSecond},${FLASH_FRAME},${last})'`;
  const from = FLASH_FRAME * FRAME;
  const to = `${from}+${FRAME}*(1+mod(floor(t),${LENGTHS}))`;
  const beep = `0.5*sin(2*PI*1000*t)*gte(mod(t,1),${from})*lt(mod(t,1),${to})`;
  await outputOf("ffmpeg", [
    ...["-v", "error", "-y"],
    ...["-f", "lavfi", "-i", `testsrc2=size=320x240:rate=${FRAME_RATE},${flash}`],
    ...["-f", "lavfi", "-i", `aevalsrc='${beep}':sample_rate=${SAMPLE_RATE}`],
    ...["-t", String(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"],
    ...["-g", String(FRAME_RATE * PERIOD), "-bf", "0", "-c:a", "aac", "-b:a", "64k", path],
  ]);
}
