// What may be credentials is in nothing that is printed.

import { expect, test } from "vitest";
import { redact, redactText } from "../../src/source/redact.ts";

test("credentials are taken out of URLs and of sentences", () => {
  expect(redact("rtsp://user:p@ss/w:rd?@cam.local:554/a/b?token=1#x")).toBe("rtsp://cam.local:554/a/b");
  expect(redact("/plain/path?x@y")).toBe("/plain/path?x@y");
  expect(redactText("opening rtsp://u:p@h/s: refused; see http://v:q@w/x?k=1, (rtmp://a:b@c/d).")).toBe(
    "opening rtsp://h/s: refused; see http://w/x, (rtmp://c/d).",
  );
});
