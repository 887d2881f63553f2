// Options of inputs that do nothing are refused, and passwords that end their URL are explained.

import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { readFileSync } from "node:fs";
import { expect, it, onTestFinished } from "vitest";
import { openMedia, type OpenMediaOptions } from "../../media.ts";
import { CLIP, clip } from "../support/media.ts";

const failure = async (input: string, options?: OpenMediaOptions) =>
  await openMedia(input, options).then(
    (media) => void media.close(),
    (error: Error & { code: string }) => error,
  );

it.each([
  ["nosuch", CLIP],
  ["rtsp_transprt", "rtsp://127.0.0.1:1/x"],
  ["reconect", "http://127.0.0.1:1/x"],
  // A muxer's.
  ["movflags", "http://127.0.0.1:1/x"],
  // Another input's.
  ["rtsp_transport", CLIP],
  ["video_size", `file:${CLIP}`],
])("an option %s of %s is refused, by its name", async (name, input) => {
  const error = await failure(input, { options: { [name]: "s3cret" } });
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(error!.message).toContain(JSON.stringify(name));
  expect(error!.message).not.toContain("s3cret");
});

it("options that demuxers and protocols have are taken", async () => {
  const raw = await clip("raw.mjpeg", { frames: 5, encoder: "mjpeg", pixelFormat: "yuvj420p" });
  expect(await failure(raw, { options: { framerate: "50", probesize: "100000" } })).toBeUndefined();
  expect(await failure(CLIP, { options: { ignore_editlist: "1", fflags: "+genpts" } })).toBeUndefined();
  let agent: string | undefined;
  const server = createServer((request, response) => {
    agent = request.headers["user-agent"];
    response.end(readFileSync(CLIP));
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const options = { user_agent: "agent", tls_verify: "1", timeout: "5000000", ignore_editlist: "1" };
  expect(await failure(`http://127.0.0.1:${port}/clip.mp4`, { options })).toBeUndefined();
  expect(agent).toBe("agent");
});

it.each(["pa#ss", "pa/ss", "pa?ss", "#", "1/x#"])(
  "a password with %s of its own is explained",
  async (password) => {
    const error = await failure(`rtsp://admin:s3cret${password}@127.0.0.1:1/live`);
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(error!.message).toMatch(/127\.0\.0\.1:1\/live: .*%23, %2F or %3F/);
    expect(error!.message).not.toMatch(/s3cret|admin|ss@/);
  },
);

it("a password that may be one is explained where opening fails", async () => {
  const error = await failure("rtsp://nosuch:98/34@127.0.0.1:1/live", { timeout: 20_000 });
  expect(error!.message).toMatch(/%23, %2F or %3F/);
  expect(error!.message).not.toMatch(/98|34/);
  for (const url of ["http://127.0.0.1:1/a@b/c?d@e", "http://u:p@127.0.0.1:1/a@b", "rtsp://[::1]:1/a@b"]) {
    expect((await failure(url))!.message).not.toContain("%23");
  }
});
