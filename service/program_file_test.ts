import assert from "node:assert/strict";
import { shebangArguments } from "./program_file.ts";

Deno.test("shebangArguments() takes the permissions from the first line", () => {
  assert.deepEqual(
    shebangArguments("#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,X_*", "x.ts"),
    ["run", "--allow-net", "--allow-env=OTEL_*,X_*", "--no-prompt"],
  );
});

Deno.test("shebangArguments() says what a program's first line must be", () => {
  for (const line of ["", "import x", "#!/bin/sh", "#!/usr/bin/env -S deno run x; rm"]) {
    assert.throws(() => shebangArguments(line, "x.ts"), /first line must be a shebang/, line);
  }
});
