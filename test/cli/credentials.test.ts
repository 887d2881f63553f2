// A camera's credentials, wherever they stand in what is typed, are in nothing that others can read.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { startCuframes } from "../support/cli.ts";
import { eventually } from "../support/processes.ts";

const directory = mkdtempSync(join(tmpdir(), "cuframes-credentials-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const env = { CUFRAMES_RUNTIME_DIR: directory, NO_COLOR: "1" };

test.each([
  ["a path's", "rtsp://127.0.0.1:1/user=viewer&password=s3cr3t&channel=1", /127\.0\.0\.1:1\/.*channel=1/],
  [
    "a path's with underscores",
    "rtsp://127.0.0.1:1/user=viewer_password=s3cr3t_channel=1_stream=0.sdp",
    /stream=0/,
  ],
  ["a query's", "rtsp://127.0.0.1:1/live?user=viewer&pwd=s3cr3t", /127\.0\.0\.1:1\/live/],
  [
    "a path's, with an at sign",
    "rtsp://127.0.0.1:1/user=viewer&password=a@s3cr3t&channel=1",
    /127\.0\.0\.1:1\/.*channel=1/,
  ],
  ["an address's", "rtsp://viewer:s3cr3t@127.0.0.1:1/live", /127\.0\.0\.1:1\/live/],
])("%s credentials are told to nobody", async (_, url, shown) => {
  const source = startCuframes(
    [
      ...["source", url, "--key", "cam", "--json", "--verbose", "--memory", "host", "--max-delay", "1ms"],
      ...["--input-option", "headers=Authorization: Basic s3cr3t", "--input-option=cookies=s3cr3t"],
    ],
    { env },
  );
  await eventually("it has failed", () => source.text.includes('"disconnected"'));
  const line = readFileSync(`/proc/${source.pid}/cmdline`, "latin1").replaceAll("\0", " ");
  source.kill("SIGTERM");
  const { stderr } = await source.ended;
  const told = { line, stdout: source.text, stderr };
  for (const text of Object.values(told)) expect(text).not.toMatch(/s3cr3t|viewer/);
  expect(line).toMatch(shown);
  expect(source.text).toMatch(shown);
});
