// The ground that every room stands on: errors, options, formats, codecs, times. Nothing here calls native code.

import "./supported.ts";

export { joinUnits, type NalUnit } from "./annexb.ts";
export { Backoff } from "./backoff.ts";
export { type AllowSharedBufferSource, bytesOf } from "./buffer_source.ts";
export { CODEC_IDS, codecNameOf, codecString, isAnnexB } from "./codec.ts";
export * from "./constants.ts";
export {
  AUDIO_CODEC_IDS,
  audioCodecIdOf,
  audioCodecString,
  DATA_CODEC_IDS,
  trackCodecString,
} from "./track_codecs.ts";
export { environment, isForbidden } from "./environment.ts";
export {
  CuframesError,
  type CuframesErrorCode,
  errorCodeOf,
  invalid,
  isCuframesError,
  shown,
} from "./errors.ts";
export {
  checkDimension,
  COPY_OPTIONS,
  type CopyOptions,
  formatCode,
  formatOfCode,
  isRgb,
  type PixelFormat,
  planCopy,
  type PlaneCopy,
  type PlaneLayout,
  type Rect,
  type Size,
} from "./format.ts";
export { HeaderUnits, withParameterSets } from "./header_units.ts";
export {
  checkChoice,
  checkHandle,
  checkInteger,
  checkKey,
  checkName,
  INT32_MAX,
  isKey,
  LONGEST_TIMER_MS,
  microseconds,
  nanoseconds,
  nanosecondsOf,
  timeoutMilliseconds,
  WAIT_OPTIONS,
  type WaitOptions,
} from "./options.ts";
export { checkOptions, type OptionNames, optionNames } from "./option_names.ts";
export { parameterSets } from "./parameter_sets.ts";
export { type PictureOrder, PictureOrders } from "./picture_order.ts";
export {
  namesCredential,
  RAW_PASSWORD_ADVICE,
  rawPassword,
  redact,
  redactText,
  type Secret,
  secretsIn,
} from "./redact.ts";
export {
  type ChromaLocation,
  chromaLocationOf,
  type ColorMatrix,
  type ColorPrimaries,
  type ColorSpace,
  colorSpaceOf,
  type ColorTransfer,
  type FieldOrder,
  fieldOrderOf,
  isSideways,
  type Ratio,
  reduced,
  type Rotation,
  squared,
} from "./picture.ts";
export { LEAST_VERSIONS } from "./runtimes.ts";
export { pause, Ticker } from "./timers.ts";
export { timescaleOf } from "./timescale.ts";
