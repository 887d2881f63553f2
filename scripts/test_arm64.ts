// The Zig tests of the arm64 build, as it is released, under qemu-user. Debian: apt-get install qemu-user libc6-arm64-cross.

import { build } from "./build.ts";

await build(["test", "-Dtarget=aarch64-linux-gnu.2.28", "-fqemu", "--libc-runtimes", "/usr"]);
