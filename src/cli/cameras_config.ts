/**
 * This file reads `cameras.yaml`, which has many sources: a camera's fields are the options of `cuframes source`, by
 * the same names.
 */
import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, type Option } from "commander";
import { type Document, isNode, LineCounter, parseDocument } from "yaml";
import { environment } from "../core/mod.ts";
import { URL_VARIABLE, variableOf } from "./command.ts";
import { UsageError } from "./exit.ts";

/** One source of a file. */
export interface CameraEntry {
  readonly key: string;
  /** Its settings, as the environment variables of `cuframes source`. */
  readonly variables: Readonly<Record<string, string>>;
}

type Variables = Record<string, string>;

/** Options that are about the program, or that each camera has by itself. */
const NOT_FIELDS = ["help", "key", "config", "runtime-dir", "json", "quiet", "verbose"];
const URL_FIELD = "url";

/**
 * Reads and checks a file.
 *
 * @param command `cuframes source`: its options check the fields
 * @throws {UsageError} with every mistake in the file: its line, camera and field
 */
export async function loadCameras(path: string, command: Command): Promise<CameraEntry[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(`reading the config file: ${(error as Error).message}`);
  }
  return new ConfigFile(path, text, command).cameras();
}

/** A file and the mistakes found in it. */
export class ConfigFile {
  readonly #path: string;
  readonly #document: Document;
  readonly #lines = new LineCounter();
  readonly #key: Option;
  readonly #fields: ReadonlyMap<string, Option>;
  readonly #mistakes: string[] = [];

  constructor(path: string, text: string, command: Command) {
    this.#path = path;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, merge: true });
    this.#key = command.options.find((option) => option.name() === "key")!;
    const fields = command.options.map((option) => [option.long!.replace(/^--(no-)?/, ""), option] as const);
    this.#fields = new Map(fields.filter(([name]) => !NOT_FIELDS.includes(name)));
  }

  /** The file's sources. @throws {UsageError} with every mistake */
  cameras(): CameraEntry[] {
    const found = this.#read();
    if (this.#mistakes.length > 0) throw new UsageError(this.#mistakes.join("\n"));
    return found;
  }

  #read(): CameraEntry[] {
    for (const { message, pos } of this.#document.errors) {
      this.#mistakes.push(`${this.#path}:${this.#lines.linePos(pos[0]).line}: ${message}`);
    }
    if (this.#mistakes.length > 0) return [];
    const root = this.#map([], this.#document.toJS({ maxAliasCount: 100 }), "the file");
    for (const section of Object.keys(root)) {
      if (section !== "defaults" && section !== "cameras") {
        this.#mistake(
          [section],
          `${JSON.stringify(section)} is not known here: there are "defaults" and "cameras"`,
        );
      }
    }
    const defaults = root["defaults"] === undefined
      ? {}
      : this.#variables(["defaults"], root["defaults"], "defaults");
    const cameras = this.#map(["cameras"], root["cameras"], '"cameras"');
    if (Object.keys(cameras).length === 0 && this.#mistakes.length === 0) {
      this.#mistake(["cameras"], '"cameras" has none: it needs an entry such as "parking: { url: … }"');
    }
    return Object.entries(cameras).map(([key, fields]) => this.#camera(key, fields, defaults));
  }

  #camera(key: string, fields: unknown, defaults: Variables): CameraEntry {
    const path = ["cameras", key];
    const name = `camera ${JSON.stringify(key)}`;
    this.#parsed(path, this.#key, key, name);
    const own = this.#variables(path, fields, name);
    const variables = { ...defaults, ...own, [variableOf(this.#key)]: key };
    if (!(URL_VARIABLE in variables) && this.#mistakes.length === 0) {
      this.#mistake(path, `${name} has no "${URL_FIELD}"`);
    }
    return { key, variables };
  }

  #variables(path: string[], fields: unknown, name: string): Variables {
    const variables: Variables = {};
    for (const [field, value] of Object.entries(this.#map(path, fields, name))) {
      const at = [...path, field];
      const where = `${name}, field ${JSON.stringify(field)}`;
      const option = this.#fields.get(field);
      if (field === URL_FIELD) {
        if (typeof value !== "string" || value === "") {
          this.#mistake(at, `${where}: it must be a URL or a file's path`);
        } else variables[URL_VARIABLE] = this.#expanded(at, value, where);
      } else if (option === undefined) {
        this.#mistake(
          at,
          `${where} is not known: there are ${[URL_FIELD, ...this.#shownFields()].join(", ")}`,
        );
      } else if (option.isBoolean() || option.negate) {
        if (typeof value !== "boolean") this.#mistake(at, `${where}: it must be true or false`);
        else variables[variableOf(option)] = value ? "1" : "0";
      } else {
        const text = this.#expanded(at, textOf(value), where);
        if (this.#parsed(at, option, text, where)) variables[variableOf(option)] = text;
      }
    }
    return variables;
  }

  #shownFields(): string[] {
    return [...this.#fields].filter(([, { hidden }]) => !hidden).map(([name]) => name);
  }

  /** Whether an option takes a text; a mistake is noted where it does not. */
  #parsed(path: string[], option: Option, text: string, where: string): boolean {
    try {
      option.parseArg?.(text, undefined as never);
      return true;
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      this.#mistake(path, `${where}: ${JSON.stringify(text)} is wrong. ${error.message}`);
      return false;
    }
  }

  /** `${NAME}` and `${NAME:-default}` are what the environment has; `$${` stands for `${`. */
  #expanded(path: string[], text: string, where: string): string {
    return text.replace(/(\$?)\$\{(\w+)(?::-([^}]*))?\}/g, (all, escaped, name, otherwise) => {
      if (escaped) return all.slice(1);
      const value = environment(name) ?? otherwise;
      if (value === undefined) this.#mistake(path, `${where}: the environment variable ${name} is not set`);
      return value ?? "";
    });
  }

  #map(path: string[], value: unknown, name: string): Record<string, unknown> {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
    this.#mistake(
      path,
      value === undefined ? `${name} is missing` : `${name}: it must have fields of its own`,
    );
    return {};
  }

  /** Notes a mistake, at the line of the last part of the path that is in the file. */
  #mistake(path: string[], sentence: string): void {
    this.#mistakes.push(`${this.#path}:${this.#lineOf(path)}: ${sentence}`);
  }

  #lineOf(path: string[]): number {
    for (let length = path.length; length > 0; length--) {
      const node = this.#document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return this.#lines.linePos(node.range[0]).line;
    }
    return 1;
  }
}

/** A YAML value as the option's text; a map becomes one `name=value` a line. */
function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value ?? "");
  return Object.entries(value).map(([name, item]) => `${name}=${item}`).join("\n");
}
