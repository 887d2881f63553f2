/** This file keeps credentials out of everything that is printed. */
import { redact } from "../media/mod.ts";

export { redact };

/** A text without the users, passwords, queries and fragments of the URLs in it. */
export function redactText(text: string): string {
  return text.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s"'`<>]+/gi, (url) => {
    // Punctuation that ends a clause is the sentence's, not the URL's.
    const [tail = ""] = /[:;,.)\]]*$/.exec(url) ?? [];
    return redact(url.slice(0, url.length - tail.length)) + tail;
  });
}
