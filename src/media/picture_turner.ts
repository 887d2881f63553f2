/** This file turns pictures the way that they are to be shown. */
import type { FilterContext, FilterGraph, Frame as Picture } from "node-av";
import { type ChromaLocation, type FieldOrder, isSideways } from "../core/mod.ts";
import { check, type NodeAv } from "./node_av.ts";
import type { Orientation } from "./picture_description.ts";

/**
 * FFmpeg's filters that turn a picture clockwise. Not vflip: its pictures have their rows in reverse, by negative strides,
 * over which libswscale ends the process.
 */
const TURNS: Record<Orientation["rotation"], string[]> = {
  0: [],
  90: ["transpose=clock"],
  180: ["transpose=clock", "transpose=clock"],
  270: ["transpose=cclock"],
};

/** FFmpeg's filters for an orientation; none where a picture is upright. */
function filtersOf({ rotation, flip }: Orientation): string[] {
  // Rows and columns are exchanged, and then turned back.
  if (rotation === 180 && flip) return ["transpose=cclock_flip", "transpose=cclock"];
  return flip ? [...TURNS[rotation], "hflip"] : TURNS[rotation];
}

/** Where chroma lies in a picture that was turned; null where that has no name. */
export function turnedChroma(
  location: ChromaLocation | null,
  { rotation, flip }: Orientation,
): ChromaLocation | null {
  if (location === null) return null;
  let [x, y] = CHROMA_PLACES[location];
  for (let turned = 0; turned < rotation; turned += 90) [x, y] = [-y, x];
  if (flip) x = -x;
  return (Object.keys(CHROMA_PLACES) as ChromaLocation[]).find((name) => {
    const place = CHROMA_PLACES[name];
    return place[0] === x && place[1] === y;
  }) ?? null;
}

/** From the middle of four samples of luma, to the right and downwards. */
const CHROMA_PLACES: Readonly<Record<ChromaLocation, readonly [x: number, y: number]>> = {
  left: [-1, 0],
  center: [0, 0],
  topleft: [-1, -1],
  top: [0, -1],
  bottomleft: [-1, 1],
  bottom: [0, 1],
};

/** The field order of a picture of so many rows that was turned; null: its fields are not rows any more. */
export function turnedFields(
  order: FieldOrder | null,
  { rotation }: Orientation,
  height: number,
): FieldOrder | null {
  if (order === null || order === "progressive" || rotation === 0) return order;
  if (rotation !== 180) return null;
  // The last row is the first one now.
  if (height % 2 !== 0) return order;
  return order === "tff" ? "bff" : "tff";
}

/** Turns pictures of one format and size. */
export class PictureTurner implements Disposable {
  readonly #av: NodeAv;
  readonly #graph: FilterGraph;
  readonly #input: FilterContext;
  readonly #output: FilterContext;
  readonly #turned: Picture;
  readonly #key: string;
  readonly #sideways: boolean;

  private constructor(av: NodeAv, picture: Picture, orientation: Orientation) {
    this.#av = av;
    this.#key = keyOf(picture, orientation);
    this.#sideways = isSideways(orientation.rotation);
    this.#turned = new av.Frame();
    this.#turned.alloc();
    this.#graph = new av.FilterGraph();
    this.#graph.alloc();
    // A picture is too little work for more.
    this.#graph.nbThreads = 1;
    const { width, height, format, colorSpace, colorRange } = picture;
    const size = `video_size=${width}x${height}:pix_fmt=${format}`;
    const colours = `colorspace=${colorSpace}:range=${colorRange}`;
    this.#input = this.#add("buffer", `${size}:time_base=1/1000000000:${colours}`);
    let last = this.#input;
    for (const filter of filtersOf(orientation)) {
      const [name, argument] = filter.split("=");
      last = this.#join(last, this.#add(name!, argument ?? null));
    }
    this.#output = this.#join(last, this.#add("buffersink", null));
    check(av, this.#graph.configSync(), "preparing to turn pictures");
  }

  /** What turns such a picture: `last` where it does; undefined, and no more `last`, where it is upright. */
  static for(
    av: NodeAv,
    picture: Picture,
    orientation: Orientation,
    last?: PictureTurner,
  ): PictureTurner | undefined {
    if (last && last.#key === keyOf(picture, orientation)) return last;
    last?.[Symbol.dispose]();
    return filtersOf(orientation).length === 0 ? undefined : new PictureTurner(av, picture, orientation);
  }

  /** The turned picture; valid until the next call. */
  turn(picture: Picture): Picture {
    const av = this.#av;
    this.#turned.unref();
    check(av, this.#input.buffersrcAddFrameSync(picture, av.AV_BUFFERSRC_FLAG_KEEP_REF), "turning a picture");
    check(av, this.#output.buffersinkGetFrameSync(this.#turned), "turning a picture");
    // Its rows are no fields any more.
    if (this.#sideways) this.#turned.clearFlags(av.AV_FRAME_FLAG_INTERLACED);
    return this.#turned;
  }

  [Symbol.dispose](): void {
    this.#turned.free();
    this.#graph.free();
  }

  #add(name: string, argument: string | null): FilterContext {
    const filter = this.#av.Filter.getByName(name);
    const context = filter && this.#graph.createFilter(filter, name, argument);
    if (!context) throw new Error(`FFmpeg's filter ${name} could not be made: ${argument}`);
    return context;
  }

  #join(from: FilterContext, to: FilterContext): FilterContext {
    check(this.#av, from.link(0, to, 0), "preparing to turn pictures");
    return to;
  }
}

function keyOf({ width, height, format, colorSpace, colorRange }: Picture, orientation: Orientation): string {
  return [width, height, format, colorSpace, colorRange, ...filtersOf(orientation)].join();
}
