/** This file takes a terminal's whole screen, and gives it back as it was. */
import process from "node:process";

/** Alternate screen, no cursor, no wrapping of long lines; and back (ECMA-48, xterm's private modes). */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
const CONTROL_C = "\x03";

/** Takes the screen until it is disposed of, or the process ends. */
export class Screen implements Disposable {
  readonly #quit = new AbortController();
  readonly #leave = () => this[Symbol.dispose]();
  readonly #redraw = () => this.draw(this.#lines);
  readonly #key = (input: Uint8Array | string) => {
    const keys = typeof input === "string" ? input : new TextDecoder().decode(input);
    if (/^[qQ]/.test(keys)) this.#quit.abort();
    // The terminal sends no signal while it passes every key on.
    if (keys.includes(CONTROL_C)) process.kill(process.pid, "SIGINT");
  };
  #lines: readonly string[] = [];
  #left = false;

  constructor() {
    process.on("exit", this.#leave);
    process.stdout.on("resize", this.#redraw);
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(true);
      process.stdin.on("data", this.#key);
      process.stdin.resume();
    }
    process.stdout.write(ENTER);
  }

  /** Aborted by the key q. */
  get quit(): AbortSignal {
    return this.#quit.signal;
  }

  /** Shows lines, as many as there is room for. */
  draw(lines: readonly string[]): void {
    this.#lines = lines;
    const shown = lines.slice(0, process.stdout.rows || 24).map((line) => line + CLEAR_LINE);
    process.stdout.write(HOME + shown.join("\r\n") + CLEAR_BELOW);
  }

  [Symbol.dispose](): void {
    if (this.#left) return;
    this.#left = true;
    process.off("exit", this.#leave);
    process.stdout.off("resize", this.#redraw);
    if (process.stdin.isTTY) {
      process.stdin.off("data", this.#key);
      process.stdin.setRawMode(false);
      process.stdin.pause();
    }
    process.stdout.write(LEAVE);
  }
}
