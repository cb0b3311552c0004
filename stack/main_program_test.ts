import assert from "node:assert/strict";
import { join } from "node:path";
import { programArguments } from "../service/program_file.ts";
import { testWith } from "../service/testing/permissions.ts";

const needed: Deno.PermissionName[] = ["run", "read"];

testWith(
  needed,
  "stack --help names the components and the ports, with its own permissions",
  async () => {
    const { code, stdout } = await stack("up", "--help");

    assert.equal(code, 0);
    assert.match(
      stdout,
      /jaeger, otel-collector, prometheus, kafka, postgresql,\s+alertmanager, minio/,
    );
    assert.match(
      stdout,
      /--otlp-http-port <port> .*default: 4318, env:\s+ORRERY_STACK_OTLP_HTTP_PORT/,
    );
  },
);

testWith(
  needed,
  "stack refuses a component that is not there and names those that are",
  async () => {
    for (const command of ["up", "build"]) {
      const { code, stderr } = await stack(command, "jaeger", "zipkin");

      assert.equal(code, 1);
      assert.match(stderr, /^stack: Cannot find a component 'zipkin': there are jaeger, otel-coll/);
    }
  },
);

testWith(needed, "stack refuses a port that is none as wrong use", async () => {
  const { code, stderr } = await stack("up", "--jaeger-port", "99999");

  assert.equal(code, 2);
  assert.match(stderr, /--jaeger-port <port>.*Give a whole number from 0 to 65535/);
});

testWith(needed, "stack says how to get a program that is missing", async () => {
  // No PATH to look programs up on; the stack itself is started by its full path.
  const { code, stderr } = await stack("build", "prometheus", { PATH: "/nowhere" });

  assert.equal(code, 1);
  assert.match(
    stderr,
    /^stack: Cannot find 'prometheus', which .* needs: apt-get install prometheus/,
  );
});

testWith(needed, "stack says why containers cannot run", async () => {
  const { code, stderr } = await stack("up", "containers", { PATH: "/nowhere" });

  assert.equal(code, 1);
  // On Linux as root it is Podman that is missing; elsewhere another reason comes first.
  assert.match(
    stderr,
    /^stack: Cannot run containers: (Cannot find 'podman', .*apt-get install podman|containers )/,
  );
});

async function stack(...words: (string | Record<string, string>)[]) {
  const args = words.filter((word) => typeof word === "string");
  const env = words.find((word) => typeof word !== "string") ?? {};
  const output = await new Deno.Command(Deno.execPath(), {
    args: await programArguments(join(import.meta.dirname!, "main.ts"), args),
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  return {
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}
