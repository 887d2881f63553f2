// A camera that dies again and again, with commands of each runtime on it, and a plain reader on every runtime.

import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type AvSync, together } from "../measure/av_sync.ts";
import { judge } from "../measure/budget.ts";
import { type CpuShare, cpuShare, type Usage } from "../measure/process_usage.ts";
import { type Runtime, RUNTIMES, type Subject } from "../measure/subject.ts";
import {
  type Command,
  pipe,
  pipePackets,
  reader,
  record,
  type SilentCamera,
  silentCamera,
  source,
  start,
  waitingSources,
} from "./commands.ts";
import { MortalCamera } from "./mortal_camera.ts";
import { countOf, until } from "../measure/progress.ts";
import { type Film, longFilm, syncFilm } from "./film.ts";
import { examine, type Recording } from "./recordings.ts";

const SAMPLE_MS = 1000;
const DOWN_MS = 1000;
/** Caches and compiled code fill up first. */
const WARM_UP = 0.25;
/** Memory may differ by so much between two looks at a garbage-collected program that leaks nothing. */
const SLACK_BYTES = 24 * 2 ** 20;

export interface EnduranceOptions {
  /** Whose commands run. */
  runtimes: readonly Runtime[];
  minutes: number;
  /** A file that the camera shows; undefined: a film that shows whether picture and sound belong together. */
  input: string | undefined;
  /** Seconds that the camera lives. */
  life: number;
  /** For sockets, recordings and the camera's file. */
  directory: string;
}

/** What the samples of a process show, behind the warm-up. */
export interface EnduranceRow extends CpuShare {
  command: string;
  runtime: Runtime;
  /** Medians of the first and of the last quarter. */
  memory: [number, number];
  descriptors: [number, number];
  threads: [number, number];
  /** Frames or packets that it published, or read. */
  count: number;
  budget: number | undefined;
}

/** What went through one source. */
export interface SourceRow {
  runtime: Runtime;
  reconnects: number;
  frames: number;
  framesDropped: number;
  packets: number;
  packetsDropped: number;
  recordings: number;
  /** Packets of the picture and of the sound in them. */
  recorded: number;
  recordedSound: number;
  /** What the recorder has lost of the rings or had no file for. */
  lost: number;
  /** Of all recordings together, where the film shows it. */
  sync: AvSync | undefined;
  piped: number;
}

export interface EnduranceResult {
  minutes: number;
  deaths: number;
  rows: EnduranceRow[];
  sources: SourceRow[];
  problems: string[];
}

export async function endure(
  { runtimes, minutes, life, input, directory }: EnduranceOptions,
): Promise<EnduranceResult> {
  const sockets = join(directory, "sockets");
  mkdirSync(sockets);
  const film = await (input === undefined ? syncFilm(directory, life) : longFilm(directory, life, input));
  using camera = new MortalCamera(film.path);
  await camera.start();
  await using silent = await silentCamera();
  await using stack = new AsyncDisposableStack();
  const begin = (command: Command, runtime: Runtime, key: string) =>
    stack.use(new Player(command, runtime, key, sockets));
  const groups = runtimes.map((runtime) => new Group(runtime, directory, camera, silent, begin));
  const players = groups.flatMap((group) => group.players);
  const { publisher, key } = groups[0]!;
  await until(publisher.subject, "it has not published", async () => await publisher.look() > 0);
  players.push(...RUNTIMES.map((runtime) => begin(reader(key), runtime, key)));

  const problems: string[] = [];
  const end = performance.now() + minutes * 60_000;
  let diesAt = performance.now() + life * 1000;
  let deaths = 0;
  while (performance.now() < end) {
    await sleep(SAMPLE_MS);
    for (const { subject } of players) subject.sample();
    if (performance.now() < diesAt) continue;
    for (const group of groups) problems.push(...group.atDeath(deaths));
    camera.kill();
    deaths++;
    await sleep(DOWN_MS);
    await camera.start();
    diesAt = performance.now() + life * 1000;
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${deaths} deaths, ${publisher.subject.status["frames"]} frames \x1b[K`);
    }
  }
  for (const player of players) await player.look();
  await stack.disposeAsync();

  const rows = players.map((player) => player.row());
  problems.push(...rows.flatMap(problemsOf), ...players.flatMap((player) => player.endProblem() ?? []));
  const sources: SourceRow[] = [];
  for (const group of groups) sources.push(await group.row(deaths, film, problems));
  const left = readdirSync(sockets);
  if (left.length > 0) problems.push(`left behind: ${left.join(", ")}`);
  return { minutes, deaths, rows, sources, problems };
}

/** A process of the soak, and what is expected of it. */
class Player implements AsyncDisposable {
  readonly subject: Subject;
  readonly #command: Command;
  readonly #key: string;
  readonly #sockets: string;
  #count = 0;

  constructor(command: Command, runtime: Runtime, key: string, sockets: string) {
    this.subject = start(command, runtime, sockets);
    this.#command = command;
    this.#key = key;
    this.#sockets = sockets;
  }

  /** How far it has come. */
  async look(): Promise<number> {
    return this.#count = await countOf(this.subject, this.#key, this.#sockets, this.#command.reads);
  }

  row(): EnduranceRow {
    const { name, runtime, samples } = this.subject;
    const steady = samples.slice(Math.floor(samples.length * WARM_UP));
    const quarter = Math.max(1, Math.floor(steady.length / 4));
    const [first, last] = [steady.slice(0, quarter), steady.slice(-quarter)];
    const medians = (field: keyof Usage): [number, number] => [median(first, field), median(last, field)];
    return {
      command: name,
      runtime,
      memory: medians("memory"),
      descriptors: medians("descriptors"),
      threads: medians("threads"),
      ...cpuShare(steady[0]!, steady.at(-1)!),
      count: this.#count,
      budget: this.#command.budget,
    };
  }

  /** What is wrong with how it ended, or with what it did. */
  endProblem(): string | undefined {
    const { subject } = this;
    // A command takes a signal and says so; the reader leaves it to the runtime.
    if (subject.exit !== 143 && subject.exit !== "SIGTERM") return `${subject} ended with ${subject.exit}`;
    if (this.#command.reads && this.#count === 0) return `${subject} read nothing`;
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.subject[Symbol.asyncDispose]();
  }
}

type Begin = (command: Command, runtime: Runtime, key: string) => Player;

/** The commands of one runtime: a source of the camera, its consumers, and sources that wait for other cameras. */
class Group {
  readonly key: string;
  readonly publisher: Player;
  readonly players: Player[];
  readonly #runtime: Runtime;
  readonly #recordings: string;
  readonly #pipe: Player;
  readonly #recorder: Player;
  #packetsAtDeath = 0;

  constructor(runtime: Runtime, directory: string, camera: MortalCamera, silent: SilentCamera, begin: Begin) {
    this.#runtime = runtime;
    this.key = `soak-${runtime}`;
    this.#recordings = join(directory, `recordings-${runtime}`);
    mkdirSync(this.#recordings);
    const starting = (command: Command) => begin(command, runtime, this.key);
    this.publisher = starting(source(camera.url, this.key, "--max-delay", "2s", "--timeout", "5s"));
    this.#pipe = starting(pipe(this.key));
    this.#recorder = starting(record(this.key, this.#recordings));
    this.players = [
      this.publisher,
      ...waitingSources(silent, this.key).map(starting),
      this.#pipe,
      this.#recorder,
      starting(pipePackets(this.key)),
    ];
  }

  /** @param deaths before this one */
  atDeath(deaths: number): string[] {
    const before = this.#packetsAtDeath;
    const packets = this.#packetsAtDeath = this.#told("packets");
    if (deaths === 0 || packets > before) return [];
    return [`${this.publisher.subject}: no packet between deaths ${deaths} and ${deaths + 1}`];
  }

  #told(field: string): number {
    return Number(this.publisher.subject.status[field] ?? 0);
  }

  async row(deaths: number, film: Film, problems: string[]): Promise<SourceRow> {
    const reconnects = this.#told("reconnects");
    // The last death may be too near to the end.
    if (reconnects < deaths - 1) {
      problems.push(`${this.publisher.subject}: ${deaths} deaths, but only ${reconnects} reconnects`);
    }
    const files: Recording[] = [];
    for (const name of readdirSync(this.#recordings)) {
      files.push(await examine(join(this.#recordings, name), film));
    }
    if (files.length === 0) problems.push(`${this.#runtime}: nothing was recorded`);
    problems.push(...files.flatMap((file) => file.problems));
    const lost = Number(this.#recorder.subject.status["lost"] ?? NaN);
    if (lost !== 0) problems.push(`${this.#recorder.subject}: ${lost} packets were lost`);
    return {
      runtime: this.#runtime,
      reconnects,
      frames: this.#told("frames"),
      framesDropped: this.#told("framesDropped"),
      packets: this.#told("packets"),
      packetsDropped: this.#told("packetsDropped"),
      recordings: files.length,
      recorded: files.reduce((sum, { picture }) => sum + picture.packets, 0),
      recordedSound: files.reduce((sum, { sound }) => sum + sound.packets, 0),
      lost,
      sync: together(files.flatMap(({ sync }) => sync ?? [])),
      piped: this.#pipe.subject.printed,
    };
  }
}

function problemsOf(row: EnduranceRow): string[] {
  const { command, runtime, memory, descriptors, threads, budget } = row;
  const verdict = budget === undefined ? "met" : judge(row, budget);
  const problems = [
    !(memory[1] <= memory[0] + SLACK_BYTES) && "memory grew",
    !(descriptors[1] <= descriptors[0]) && "descriptors grew",
    !(threads[1] <= threads[0] + 1) && "threads grew",
    verdict !== "met" && `${row.cpu.toFixed(1)} % of a core where ${budget} % is its budget: ${verdict}`,
  ];
  return problems.filter((problem) => problem !== false).map((problem) =>
    `${command} on ${runtime}: ${problem}`
  );
}

function median(samples: readonly Usage[], field: keyof Usage): number {
  const sorted = samples.map((sample) => sample[field]).sort((one, other) => one - other);
  return sorted[sorted.length >> 1] ?? NaN;
}
