/**
 * This file keeps credentials out of everything that is printed: those that a URL has as its user and password, in its
 * query, and in its path, where many cameras want them.
 */

/** A part of a text that nobody is to read. */
export interface Secret {
  readonly start: number;
  readonly end: number;
  /** What stands there instead. */
  readonly shown: string;
}

/** What a value that has a credential's name is shown as. */
const HIDDEN = "***";

/** Names of credentials, wherever in a name they stand: `user`, `loginPas`, `usr`, `apiKey`, `X-Amz-Signature` … */
const NAME =
  "[\\w.~-]{0,32}?(?:user|usr|login|acc(?:ou)?nt|pas|pwd|pw|psw|psk|passw|secret|token|auth|cred|key|sig|sess|jwt|" +
  "ticket|otp|pin|nonce|hash|cookie|headers?|uid)[\\w.~-]{0,32}?";
/** A character of a URL, or what stands for it there. */
const EQUALS = "(?:=|%3d)";
const SEPARATOR = "(?:&|%26|;|%3b|,|%2c|_|/|%2f|\\||!)";
/** Up to the next `name=`, because a password may hold any character; else to the end. */
const VALUE = `(?:(?!${SEPARATOR}[a-z\\d.~-]{1,32}${EQUALS}).)*`;
/** `password=…` behind a slash or another parameter, `/password/…`, and `/user:password/`. */
const NAMED = new RegExp(`(?<=^|[/?&;,_|!]|%26|%2f|%3b)${NAME}${EQUALS}(?<value>${VALUE})`, "gis");
const SEGMENT =
  /(?<=\/(?:user(?:name)?|login|pass(?:word|wd)?|pwd|secret|token|auth|api-?key|key)\/)(?<value>[^/]+)/gis;
const PAIR = /(?<=\/)(?<value>[^/:=]+:[^/]*)(?=\/|$)/gs;

/** Where the host ends, in an address whose user and password are gone. */
const HOST = /^(?:\[[\da-f:.%]+\]|[\w.-]+)(?::\d+)?$/i;

/** Whether an option or a parameter with this name may have credentials as its value. */
export function namesCredential(name: string): boolean {
  return new RegExp(`^${NAME}$`, "i").test(name);
}

/** What may be credentials in an input's name, in order: where it is a URL, or a protocol that is handed one. */
export function secretsIn(input: string): Secret[] {
  const scheme = /^.*?[a-z][a-z0-9+.-]*:\/\//is.exec(input)?.[0].length;
  if (scheme === undefined) return [];
  const secrets: Secret[] = [];
  const rest = input.slice(scheme);
  const address = scheme + userEnd(rest);
  if (address > scheme) secrets.push({ start: scheme, end: address, shown: "" });
  const query = /[?#]/.exec(input.slice(address));
  const end = query ? address + query.index : input.length;
  const slash = input.indexOf("/", address);
  if (slash >= 0 && slash < end) secrets.push(...namedIn(input.slice(slash, end), slash));
  if (end < input.length) secrets.push({ start: end, end: input.length, shown: "" });
  return secrets;
}

/**
 * Where user and password end. All up to the last `@` are these, because a password may hold any character; but for an `@`
 * in a path's own credentials.
 */
function userEnd(rest: string): number {
  const slash = rest.indexOf("/");
  NAMED.lastIndex = Math.max(slash, 0);
  const named = slash < 0 ? null : NAMED.exec(rest);
  NAMED.lastIndex = 0;
  if (named) {
    const head = rest.slice(0, named.index);
    const end = head.lastIndexOf("@") + 1;
    if (HOST.test(head.slice(end).replace(/\/.*$/s, ""))) return end;
  }
  return rest.lastIndexOf("@") + 1;
}

/** The credentials of a path. */
function namedIn(path: string, offset: number): Secret[] {
  const found = [NAMED, SEGMENT, PAIR].flatMap((pattern) =>
    [...path.matchAll(pattern)].map((match) => {
      const value = match.groups!["value"]!;
      const start = offset + match.index + match[0].length - value.length;
      return { start, end: start + value.length, shown: HIDDEN };
    })
  ).filter(({ start, end }) => end > start).sort((one, other) => one.start - other.start);
  // One may lie in another.
  let last = offset;
  return found.flatMap((secret) => {
    const start = Math.max(secret.start, last);
    if (secret.end <= start) return [];
    last = secret.end;
    return [{ ...secret, start }];
  });
}

/**
 * An input's name as it may appear in a message: a URL loses its user, password, query and fragment, where credentials
 * travel, and the values of a path's parameters that are called like credentials.
 */
export function redact(input: string): string {
  let shown = "";
  let from = 0;
  for (const { start, end, shown: instead } of secretsIn(input)) {
    shown += input.slice(from, start) + instead;
    from = end;
  }
  return shown + input.slice(from);
}

/** A text without the credentials of the URLs in it. */
export function redactText(text: string): string {
  // A quotation mark ends a URL, but for one in a password.
  return text.replace(/[a-z][a-z0-9+.-]*:\/\/(?:[^\s@]*@)*[^\s"'`<>]+/gi, (url) => {
    // Punctuation that ends a clause is the sentence's, not the URL's.
    const [tail = ""] = /[:;,.)\]]*$/.exec(url) ?? [];
    return redact(url.slice(0, url.length - tail.length)) + tail;
  });
}

/** Whether a URL's password has a character of its own that ends an address, as far as that can be told. */
export type RawPassword = "surely" | "perhaps" | "no";

/** The advice for a {@linkcode RawPassword}. */
export const RAW_PASSWORD_ADVICE =
  "a #, / or ? in a URL's user or password must be percent-encoded, as %23, %2F or %3F";

/** Looks for a `#`, `/` or `?` between a URL's scheme and the `@` before its host: there FFmpeg would end the address. */
export function rawPassword(url: string): RawPassword {
  const rest = /^[a-z][a-z0-9+.-]*:\/\/(.*)$/is.exec(url)?.[1] ?? "";
  const credentials = rest.slice(0, userEnd(rest));
  const [head = ""] = credentials.split(/[/?#]/, 1);
  // Without such a character it ends with the `@`.
  if (head === credentials || !head.includes(":")) return "no";
  const address = head.slice(head.lastIndexOf("@") + 1);
  if (/:[^\]:]*[^\]:\d][^\]:]*$/.test(address)) return "surely";
  // What looks like a host is one, and the `@` belongs to a path.
  return /^(?:\[.*\]|[^:]*\.[^:]*)(?::\d*)?$/.test(address) ? "no" : "perhaps";
}
