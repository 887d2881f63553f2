// Pixel formats, and copies of pixels as arithmetic.

import { CuframesError, invalid, shown } from "./errors.ts";
import { DIMENSION_MAX, PIXEL_FORMATS } from "./constants.ts";
import { checkOptions, type OptionNames, optionNames } from "./option_names.ts";

/** Pixel formats, named as in WebCodecs where it has them; P010 and GRAY8 as in FFmpeg. */
export type PixelFormat = keyof typeof PIXEL_FORMATS;

/** A picture's size in pixels. */
export interface Size {
  width: number;
  height: number;
}

/** A plane's samples: bytes for each sample position, and how many pixels a position covers. */
interface PlaneShape {
  readonly bytes: number;
  readonly x: number;
  readonly y: number;
}

/** Where a plane is in a buffer. Bytes. */
export interface PlaneLayout {
  /** From the buffer's first byte to the plane's. */
  offset: number;
  /** From one row to the next. */
  stride: number;
}

/** A rectangle of pixels. */
export interface Rect {
  /** Left edge, in pixels from the frame's. */
  x: number;
  /** Upper edge, in pixels from the frame's. */
  y: number;
  /** Width in pixels. */
  width: number;
  /** Height in pixels. */
  height: number;
}

/**
 * As WebCodecs' `VideoFrameCopyToOptions`, without conversion.
 *
 * @example
 * ```ts
 * import { Subscriber } from "@cuframes/core";
 *
 * using camera = await Subscriber.connect("cam-parking");
 * using frame = await camera.next();
 * const options = { rect: { x: 0, y: 0, width: 320, height: 240 } };
 * await frame.copyTo(new Uint8Array(frame.allocationSize(options)), options);
 * ```
 */
export interface CopyOptions {
  /** The part to copy; default: the frame's `visibleRect`. `x` and `y` must lie on a chroma sample. */
  rect?: Rect;
  /** Where each plane goes; default: one behind the other without padding. */
  layout?: PlaneLayout[];
  /** The frame's own format, which is the default; nothing is converted, so any other throws `UNSUPPORTED`. */
  format?: PixelFormat;
}

/** The names of {@linkcode CopyOptions}. WebCodecs' `colorSpace` says nothing where there is no conversion. */
export const COPY_OPTIONS: OptionNames = optionNames<CopyOptions>({ rect: true, layout: true, format: true });

/** One plane's part of a copy: `rows` runs of `rowBytes`, from and to their places. */
export interface PlaneCopy {
  readonly sourceX: number;
  readonly sourceY: number;
  readonly rowBytes: number;
  readonly rows: number;
  readonly offset: number;
  readonly stride: number;
}

const formatsByCode: ReadonlyMap<number, PixelFormat> = new Map(
  Object.entries(PIXEL_FORMATS).map(([name, { code }]) => [code, name as PixelFormat]),
);

/** The pixel format of a code on the wire. */
export function formatOfCode(code: number): PixelFormat {
  const format = formatsByCode.get(code);
  if (format === undefined) {
    throw new CuframesError("FORMAT", `pixel format code ${code} is not known to this release`);
  }
  return format;
}

/** The code of a pixel format on the wire. */
export function formatCode(format: PixelFormat): number {
  if (typeof format !== "string" || !Object.hasOwn(PIXEL_FORMATS, format)) {
    throw new CuframesError(
      "FORMAT",
      `pixel format ${shown(format)} is not known: use one of ${Object.keys(PIXEL_FORMATS).join(", ")}`,
    );
  }
  return PIXEL_FORMATS[format].code;
}

/** Whether a format's samples are red, green and blue. */
export function isRgb(format: PixelFormat): boolean {
  return format !== "NV12" && format !== "I420" && format !== "P010" && format !== "GRAY8";
}

/** Passes a width or height through. */
export function checkDimension(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > DIMENSION_MAX) {
    throw invalid(`${name} is ${shown(value)}: it must be a whole number from 1 to ${DIMENSION_MAX}`);
  }
  return value;
}

function planesOf(format: PixelFormat): readonly PlaneShape[] {
  return PIXEL_FORMATS[format].planes;
}

/**
 * What to copy for each plane, and how large the destination must be. Every number is checked.
 *
 * @param visible what is copied where the options do not say; default: all
 */
export function planCopy(
  format: PixelFormat,
  codedWidth: number,
  codedHeight: number,
  options?: CopyOptions | null,
  visible?: Readonly<Rect>,
): { planes: PlaneCopy[]; size: number } {
  options = checkOptions(options, COPY_OPTIONS);
  checkUnconverted(format, options);
  const shapes = planesOf(format);
  const rect = options.rect ?? visible ?? { x: 0, y: 0, width: codedWidth, height: codedHeight };
  checkRect(rect, codedWidth, codedHeight, shapes);
  const { layout } = options;
  if (layout !== undefined && layout?.length !== shapes.length) {
    throw invalid(`layout has ${layout?.length} planes; ${format} has ${shapes.length}`);
  }
  let size = 0;
  const planes = shapes.map((shape, index): PlaneCopy => {
    const rowBytes = Math.ceil(rect.width / shape.x) * shape.bytes;
    const rows = Math.ceil(rect.height / shape.y);
    const { offset, stride } = layout?.[index] ?? { offset: size, stride: rowBytes };
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw invalid(`layout[${index}].offset is ${shown(offset)}: it must be a whole number of bytes`);
    }
    if (!Number.isSafeInteger(stride) || stride < rowBytes) {
      throw invalid(`layout[${index}].stride is ${shown(stride)}: a row of this plane has ${rowBytes} bytes`);
    }
    size = Math.max(size, offset + stride * rows);
    return {
      sourceX: rect.x / shape.x * shape.bytes,
      sourceY: rect.y / shape.y,
      rowBytes,
      rows,
      offset,
      stride,
    };
  });
  checkOverlap(planes);
  if (!Number.isSafeInteger(size)) throw invalid(`layout: the copy would have ${size} bytes`);
  return { planes, size };
}

/** Formats that WebCodecs has and this library has not. */
const WEBCODECS_FORMATS: readonly string[] = [
  ...[
    "I420P10",
    "I420P12",
    "I420A",
    "I420AP10",
    "I420AP12",
    "I422",
    "I422P10",
    "I422P12",
    "I422A",
    "I422AP10",
  ],
  ...["I422AP12", "I444", "I444P10", "I444P12", "I444A", "I444AP10", "I444AP12"],
];

function checkUnconverted(format: PixelFormat, options: CopyOptions): void {
  const { format: wanted } = options;
  if (wanted === undefined || wanted === format) return;
  const known = typeof wanted === "string" &&
    (Object.hasOwn(PIXEL_FORMATS, wanted) || WEBCODECS_FORMATS.includes(wanted));
  throw new CuframesError(
    known ? "UNSUPPORTED" : "INVALID_ARGUMENT",
    `format is ${
      shown(wanted)
    }: this frame is ${format}, which is not converted, so ${format} is the one format that ` +
      "it can give; leave format away and convert the copy",
  );
}

function checkRect(rect: Rect, codedWidth: number, codedHeight: number, shapes: readonly PlaneShape[]): void {
  const { x, y, width, height } = rect;
  const inside = [x, y, width, height].every(Number.isInteger) && x >= 0 && y >= 0 && width >= 1 &&
    height >= 1 &&
    x + width <= codedWidth && y + height <= codedHeight;
  if (!inside) {
    throw invalid(
      `rect ${width}×${height} at ${x},${y} is not inside the frame's ${codedWidth}×${codedHeight} pixels`,
    );
  }
  for (const shape of shapes) {
    if (x % shape.x !== 0 || y % shape.y !== 0) {
      throw invalid(
        `rect begins at ${x},${y}: with this pixel format x must be a multiple of ${shape.x} and y of ${shape.y}`,
      );
    }
  }
}

function checkOverlap(planes: readonly PlaneCopy[]): void {
  const spans = planes
    .map(({ offset, stride, rows }, index) => ({ index, start: offset, end: offset + stride * rows }))
    .sort((one, other) => one.start - other.start);
  spans.forEach(({ index, start }, place) => {
    const previous = spans[place - 1];
    if (previous === undefined || start >= previous.end) return;
    throw invalid(
      `layout: two planes overlap: plane ${index} begins at ${start}, before plane ${previous.index} ends at ${previous.end}`,
    );
  });
}
