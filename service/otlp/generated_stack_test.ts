/** The generated code is what the generator makes of the proto files. Needs Node's npx and npm's registry. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testWith } from "../testing/permissions.ts";

testWith(["run", "read", "write", "env"], "service/otlp/proto/gen is current", async () => {
  const folder = fileURLToPath(new URL("./proto", import.meta.url));
  const config = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  const command: string = config.tasks["otlp:generate"].command;
  const made = await Deno.makeTempDir();
  try {
    const generate = command.replace("cd service/otlp/proto && ", "") + ` --output ${made}`;
    const { success, stderr } = await new Deno.Command("sh", {
      args: ["-c", generate],
      cwd: folder,
    })
      .output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
    assert.deepEqual(names(`${made}/gen`), names(`${folder}/gen`));
    for (const name of names(`${made}/gen`)) {
      const [fresh, committed] = await Promise.all(
        [made, folder].map((path) => Deno.readTextFile(`${path}/gen/${name}`)),
      );
      assert.equal(committed, fresh, `${name} is not current: deno task otlp:generate`);
    }
  } finally {
    await Deno.remove(made, { recursive: true });
  }
});
