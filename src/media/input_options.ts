/** This file refuses options of inputs that FFmpeg would leave unused, and say nothing of. */
import type { AVOptionSearchFlags, FormatContext } from "node-av";
import { invalid } from "../core/mod.ts";
import type { NodeAv } from "./node_av.ts";

/**
 * Fails for an option that no demuxer and no protocol has.
 *
 * @param name the input's, without credentials
 * @param format not open yet
 * @throws {CuframesError} `INVALID_ARGUMENT`
 */
export function checkKnownOptions(
  av: NodeAv,
  name: string,
  format: FormatContext,
  options: Readonly<Record<string, string>>,
): void {
  for (const option of Object.keys(options)) {
    const found = av.Option.find(
      format.getNative(),
      option,
      // The object's class stands at its beginning, as that of a class's name would.
      (av.AV_OPT_SEARCH_CHILDREN | av.AV_OPT_SEARCH_FAKE_OBJ) as AVOptionSearchFlags,
    );
    if (!found?.hasFlags(av.AV_OPT_FLAG_DECODING_PARAM)) throw unknown(name, option);
  }
}

/**
 * Fails for an option that an open input has not taken. Of a URL that is not known: protocols that others run over have
 * taken some.
 *
 * @param input as it was opened
 * @param name the input's, without credentials
 * @throws {CuframesError} `INVALID_ARGUMENT`
 */
export function checkTakenOptions(
  av: NodeAv,
  input: string,
  name: string,
  format: FormatContext,
  options: Readonly<Record<string, string>>,
): void {
  if (/^[a-z][a-z0-9+.-]*:/i.test(input) && !/^(file|pipe|fd):/i.test(input)) return;
  for (const option of Object.keys(options)) {
    if (!av.Option.find(format.getNative(), option, av.AV_OPT_SEARCH_CHILDREN)) {
      throw unknown(name, option, format.iformat?.name ?? undefined);
    }
  }
}

function unknown(name: string, option: string, format?: string): Error {
  const whose = format === undefined ? "FFmpeg's inputs have" : `FFmpeg's input format ${format} has`;
  return invalid(`opening ${name}: ${whose} no option ${JSON.stringify(option)}`);
}
