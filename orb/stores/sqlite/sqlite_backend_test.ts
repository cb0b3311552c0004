import { join } from "node:path";
import { testWith } from "../../../service/testing/permissions.ts";
import { recordSuite } from "../record_suite.ts";
import { openSqliteBackend } from "./sqlite_backend.ts";

let folder = "";
let opened = 0;

recordSuite({
  name: "sqlite",
  isShared: false,
  async open() {
    const path = join(folder, `${++opened}.sqlite`);
    const again = () => openSqliteBackend({ path });
    return { backend: await again(), again };
  },
  test: (name, run) =>
    testWith(["read", "write"], name, async () => {
      folder = await Deno.makeTempDir();
      try {
        await run();
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }),
});
