import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { missingPermissions } from "../service/testing/permissions.ts";
import { startProcess } from "../service/supervisor.ts";
import { memoryTrimVariables } from "./memory_trim.ts";

const missing = missingPermissions(
  (["run", "read", "write"] as const).map((name) => ({ name })),
);
const reason = Deno.build.os !== "linux"
  ? " (ignored: only on Linux)"
  : missing.length > 0
  ? ` (ignored: needs ${missing.map((one) => `--allow-${one}`).join(" ")})`
  : "";

/** Anonymous memory that a process has in RAM, in bytes; `cat`, as Deno gives `/proc` to nobody. */
async function memoryOf(pid: number): Promise<number> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`] }).output();
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(new TextDecoder().decode(stdout))!;
  return 1024 * Number(kilobytes);
}

Deno.test({
  name: "a program gives back what it no longer uses when it is asked, and lives on" + reason,
  ignore: reason !== "",
  async fn() {
    // What no collection that comes by itself has removed yet: it was in use until then.
    const script = `
      let kept = Array.from({ length: 500_000 }, (_, i) => ({ i }));
      console.log("made");
      setTimeout(() => { kept = undefined; console.log("unused"); }, 0);
      Deno.addSignalListener("SIGHUP", () => console.log("alive", kept));
      setInterval(() => {}, 1_000);`;
    await using program = await startProcess({
      name: "program",
      command: "deno",
      args: () => ["eval", "--no-lock", script],
      env: { NO_COLOR: "1", ...memoryTrimVariables },
      ports: {},
      ready: () => Promise.resolve(true),
    });
    const says = (text: string) =>
      eventually(
        text,
        async () => (await Deno.readTextFile(program.logFile)).includes(text) || undefined,
      );
    await says("unused");
    const before = await memoryOf(program.pid);
    assert.equal(program.signal("SIGUSR2"), true);
    await eventually(
      `20 MB less than ${before}`,
      async () => before - await memoryOf(program.pid) > 20e6 || undefined,
    );
    assert.equal(program.signal("SIGHUP"), true);
    await says("alive");
    await program.stop();
    assert.equal(program.signal("SIGHUP"), false);
  },
});
