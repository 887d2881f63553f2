// Imported first of all: a runtime that is too old says so, in place of failing at something that it does not have.

import { CuframesError } from "./errors.ts";
import { unsupportedRuntime } from "./runtimes.ts";

const unsupported = unsupportedRuntime();
if (unsupported !== undefined) throw new CuframesError("UNSUPPORTED", unsupported);
