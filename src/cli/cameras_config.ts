/**
 * This file reads `cameras.yaml`, which has many sources: a camera's fields are the options of `cuframes source`, by
 * the same names.
 */
import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, type Option } from "commander";
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
} from "yaml";
import process from "node:process";
import { nameOf, URL_VARIABLE, variableOf } from "./command.ts";
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

/** A field of a map: what it is called, what it has, and the node that mistakes of it are told at. */
interface Field {
  readonly name: string;
  readonly value: Node | null;
  readonly at: Node | null;
}

/** A file and the mistakes found in it. */
export class ConfigFile {
  readonly #path: string;
  readonly #document: Document;
  readonly #lines = new LineCounter();
  readonly #command: Command;
  readonly #key: Option;
  readonly #fields: ReadonlyMap<string, Option>;
  readonly #mistakes: string[] = [];

  constructor(path: string, text: string, command: Command) {
    this.#path = path;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, merge: true });
    this.#command = command;
    this.#key = command.options.find((option) => option.name() === "key")!;
    const fields = command.options.map((option) => [nameOf(option), option] as const);
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
    visit(this.#document, {
      Alias: (_, node) => {
        if (this.#resolved(node) !== null) return;
        this.#mistake(node, `*${node.source} stands for nothing: no &${node.source} is before it`);
      },
    });
    if (this.#mistakes.length > 0) return [];
    const { contents } = this.#document;
    const root = this.#map(contents, contents, "the file");
    if (root === undefined) return [];
    for (const { name, at } of root) {
      if (name === "defaults" || name === "cameras") continue;
      this.#mistake(at, `${JSON.stringify(name)} is not known here: there are "defaults" and "cameras"`);
    }
    const defaults = root.find(({ name }) => name === "defaults");
    const shared = defaults === undefined ? [] : this.#map(defaults.value, defaults.at, "defaults") ?? [];
    const variables = this.#variables(shared, "defaults");
    const section = root.find(({ name }) => name === "cameras");
    if (section === undefined) {
      this.#mistake(contents, '"cameras" is missing');
      return [];
    }
    const cameras = this.#map(section.value, section.at, '"cameras"');
    if (cameras?.length === 0) {
      this.#mistake(section.at, '"cameras" has none: it needs an entry such as "parking: { url: … }"');
    }
    const hasUrl = shared.some(({ name }) => name === URL_FIELD);
    return (cameras ?? []).map((camera) => this.#camera(camera, variables, hasUrl));
  }

  #camera({ name: key, value, at }: Field, defaults: Variables, hasUrl: boolean): CameraEntry {
    const name = `camera ${JSON.stringify(key)}`;
    this.#parsed(at, this.#key, key, name);
    const fields = this.#map(value, at, name);
    const variables = {
      ...defaults,
      ...this.#variables(fields ?? [], name),
      [variableOf(this.#key, this.#command)]: key,
    };
    // Of one that is there and wrong that has been told.
    if (fields !== undefined && !hasUrl && !fields.some(({ name }) => name === URL_FIELD)) {
      this.#mistake(at, `${name} has no "${URL_FIELD}"`);
    }
    return { key, variables };
  }

  #variables(fields: readonly Field[], name: string): Variables {
    const variables: Variables = {};
    for (const field of fields) {
      const where = `${name}, field ${JSON.stringify(field.name)}`;
      if (field.name === URL_FIELD) {
        const url = this.#url(field, where);
        if (url !== undefined) variables[URL_VARIABLE] = url;
        continue;
      }
      const option = this.#fields.get(field.name);
      if (option === undefined) {
        this.#mistake(
          field.at,
          `${where} is not known: there are ${[URL_FIELD, ...this.#shownFields()].join(", ")}`,
        );
        continue;
      }
      const text = option.isBoolean() || option.negate
        ? this.#flag(field, where)
        : this.#setting(field, option, where);
      if (text !== undefined) variables[this.#variable(option)] = text;
    }
    return variables;
  }

  /** The variable of the option that an option stands for, so that a camera's own field comes before a default. */
  #variable(option: Option): string {
    const attribute = option.attributeName();
    const main = option.hidden
      ? this.#command.options.find((other) => !other.hidden && other.attributeName() === attribute)
      : undefined;
    return variableOf(main ?? option, this.#command);
  }

  #url({ value, at }: Field, where: string): string | undefined {
    const isText = isScalar(value) && typeof value.value === "string" && value.value !== "";
    const text = isText ? this.#expanded(at, value.value as string, where) : "";
    if (text === "") this.#mistake(at, `${where}: it must be a URL or a file's path`);
    return text || undefined;
  }

  #flag({ value, at }: Field, where: string): string | undefined {
    const text = isScalar(value) ? this.#text(value, at, where) : "";
    if (text === undefined || isEmptied(value, text)) return undefined;
    if (/^true$/i.test(text)) return "1";
    if (/^false$/i.test(text)) return "0";
    this.#mistake(at, `${where}: it must be true or false`);
    return undefined;
  }

  #setting({ value, at }: Field, option: Option, where: string): string | undefined {
    let text: string | undefined;
    if (isScalar(value) || value === null) text = value === null ? "" : this.#text(value, at, where);
    else if (isMap(value) && option.attributeName() === "inputOption") {
      const lines = (this.#map(value, at, where) ?? []).map((field) => {
        const item = isScalar(field.value) ? this.#text(field.value, field.at, where) : undefined;
        if (item === undefined && !isScalar(field.value)) {
          this.#mistake(field.at, `${where}: ${JSON.stringify(field.name)} must be a text or a number`);
        }
        return item === undefined ? undefined : `${field.name}=${item}`;
      });
      if (lines.includes(undefined)) return undefined;
      text = lines.join("\n");
      if (text === "") return undefined;
    } else {
      this.#mistake(at, `${where}: it must be a text or a number`);
      return undefined;
    }
    if (text === undefined || isEmptied(value, text)) return undefined;
    return this.#parsed(at, option, text, where) ? text : undefined;
  }

  #shownFields(): string[] {
    return [...this.#fields].filter(([, { hidden }]) => !hidden).map(([name]) => name);
  }

  /** Whether an option takes a text; a mistake is noted where it does not. */
  #parsed(at: Node | null, option: Option, text: string, where: string): boolean {
    try {
      option.parseArg?.(text, undefined as never);
      return true;
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      this.#mistake(at, `${where}: ${JSON.stringify(text)} is wrong. ${error.message}`);
      return false;
    }
  }

  /** A value as it was typed, expanded; undefined where that is not possible, which is noted. */
  #text(scalar: { value: unknown; source?: string }, at: Node | null, where: string): string | undefined {
    if (typeof scalar.value === "string") return this.#expanded(at, scalar.value, where);
    return scalar.value === null ? "" : scalar.source ?? String(scalar.value);
  }

  /**
   * `${NAME}` and `${NAME:-otherwise}` are what the environment has; `$${` stands for `${`.
   *
   * @returns undefined where a variable is not set, which is noted: what a text without it is, is no mistake of its own
   */
  #expanded(at: Node | null, text: string, where: string): string | undefined {
    let complete = true;
    const expanded = text.replace(/(\$?)\$\{(\w+)(?::-([^}]*))?\}/g, (all, escaped, name, otherwise) => {
      if (escaped) return all.slice(1);
      const value = process.env[name];
      if (value !== undefined && (value !== "" || otherwise === undefined)) return value;
      if (otherwise !== undefined) return otherwise;
      this.#mistake(at, `${where}: the environment variable ${name} is not set`);
      complete = false;
      return "";
    });
    return complete ? expanded : undefined;
  }

  /** The fields of a map, those that `<<` takes over included; undefined where it is none, which is noted. */
  #map(value: Node | null, at: Node | null, name: string): Field[] | undefined {
    const node = this.#resolved(value);
    if (!isMap(node)) {
      this.#mistake(at, `${name}: it must have fields of its own`);
      return undefined;
    }
    const fields = new Map<string, Field>();
    this.#collect(node, fields, new Set());
    return [...fields.values()];
  }

  #collect(map: YAMLMap, fields: Map<string, Field>, seen: Set<Node>): void {
    if (seen.has(map)) return;
    seen.add(map);
    const merged: (Node | null)[] = [];
    for (const { key, value } of map.items as { key: unknown; value: unknown }[]) {
      const at = isNode(key) ? key : null;
      const found = this.#resolved(isNode(value) ? value : null);
      const label = this.#resolved(at);
      if (isScalar(label) && (label.value === "<<" || typeof label.value === "symbol")) {
        merged.push(...(isSeq(found) ? found.items as Node[] : [found]));
      } else {
        const name = isScalar(label) && label.value !== null
          ? typeof label.value === "string" ? label.value : label.source ?? String(label.value)
          : "";
        if (!fields.has(name)) fields.set(name, { name, value: found, at });
      }
    }
    // Whatever the order, a field of the map's own comes first.
    for (const source of merged) {
      const node = this.#resolved(source);
      if (isMap(node)) this.#collect(node, fields, seen);
    }
  }

  /** What an alias stands for. */
  #resolved(node: Node | null): Node | null {
    return isAlias(node) ? node.resolve(this.#document) ?? null : node;
  }

  /** Notes a mistake, at a node's line. */
  #mistake(at: Node | null, sentence: string): void {
    const line = at?.range ? this.#lines.linePos(at.range[0]).line : 1;
    this.#mistakes.push(`${this.#path}:${line}: ${sentence}`);
  }
}

/** Whether variables made a setting empty: it counts as not set, as an empty variable does. */
function isEmptied(value: Node | null, text: string): boolean {
  return text === "" && isScalar(value) && typeof value.value === "string" && value.value !== "";
}
