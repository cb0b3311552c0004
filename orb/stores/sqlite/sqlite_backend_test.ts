import { join } from "node:path";
import { testWith } from "../../../service/testing/permissions.ts";
import { recordSuite } from "../record_suite.ts";
import { openSqliteBackend } from "./sqlite_backend.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";

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
    testWith(["read", "write"], name, () =>
      withTempFolder((temporary) => {
        folder = temporary;
        return run();
      })),
});
