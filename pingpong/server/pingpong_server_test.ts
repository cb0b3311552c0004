import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { generateCertificates } from "../certificates/generate.ts";
import { startTestServer, type TestServer } from "../test_server.ts";

/** New files beside the old pin. */
async function renewFiles(server: TestServer): Promise<string> {
  const pinPath = join(server.folder, "new.sha256");
  await generateCertificates({
    certificatePath: join(server.folder, "cert.pem"),
    keyPath: join(server.folder, "key.pem"),
    pinPath,
  });
  return pinPath;
}

/** For a time nothing can listen on a TCP port, as when the process has no file descriptor left. */
function withoutListening(): Disposable {
  const { serve } = Deno;
  Deno.serve = () => {
    throw new Deno.errors.AddrInUse("Address already in use (os error 98)");
  };
  return {
    [Symbol.dispose]: () => {
      Deno.serve = serve;
    },
  };
}

testWith(
  ["read", "write"],
  "a renewed certificate whose port cannot be bound leaves the old one in use, and is tried again",
  async () => {
    await using server = await startTestServer({ certificatePollMs: 50 });
    const oldHash = server.server.certificateHash();
    let pin: string;
    {
      using _ = withoutListening();
      pin = await renewFiles(server);
      const warning = await eventually(
        "the warning",
        () => server.logged.find((line) => line.includes("the old one stays")),
      );
      assert.match(warning, /port is in use/);
      assert.equal(await server.server.reloadCertificate(), false);
      assert.deepEqual(server.server.certificateHash(), oldHash);
      for (const mode of ["bidi", "websocket"] as const) {
        assert.equal((await server.ping({ mode })).exitCode, 0, `${mode} with the old pin`);
      }
    }
    await eventually(
      "the new certificate",
      () => server.logged.find((line) => line.includes("A new certificate is in use")),
    );
    for (const mode of ["bidi", "websocket"] as const) {
      assert.equal((await server.ping({ mode, pin })).exitCode, 0, `${mode} with the new pin`);
      assert.equal((await server.ping({ mode })).exitCode, 2, `${mode} with the old pin`);
    }
  },
);
