import { join } from "node:path";
import { testWith } from "../../../service/testing/permissions.ts";
import { recordSuite } from "../record_suite.ts";
import { startRecordWorker } from "./record_worker.ts";
import { openSqliteBackend } from "./sqlite_backend.ts";
import { recordsInThisThread } from "./test_record_thread.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";

let folder = "";
let opened = 0;

for (
  const [name, startWorker] of [
    ["sqlite", startRecordWorker],
    ["sqlite without its worker", recordsInThisThread],
  ] as const
) {
  recordSuite({
    name,
    isShared: false,
    async open() {
      const path = join(folder, `${++opened}.sqlite`);
      const again = () => openSqliteBackend({ path, startWorker });
      return { backend: await again(), again };
    },
    test: (name, run) =>
      testWith(["read", "write"], name, () =>
        withTempFolder((temporary) => {
          folder = temporary;
          return run();
        })),
  });
}
