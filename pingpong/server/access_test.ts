import assert from "node:assert/strict";
import { readToken, serverProof } from "../protocol/token.ts";
import { Guard } from "../../service/http_guard.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { type AccessOptions, type AccessRequest, accessRule } from "./access.ts";

const token = "0123456789abcdef0123";

function decide(
  { origins, ...options }: Partial<AccessOptions> & { origins?: string[] },
  request: Partial<AccessRequest>,
  headers: Record<string, string> = {},
) {
  const guard = new Guard({
    anyPort: true,
    allowedHosts: ["ping.example"],
    ...(origins && { allowedOrigins: origins }),
  });
  return accessRule({ guard, waiting: () => 3, ...options })({
    path: "/",
    authority: "127.0.0.1:4433",
    origin: undefined,
    header: (name) => headers[name],
    ...request,
  });
}

Deno.test("a program without a name gets in, at any path", () => {
  assert.deepEqual(decide({}, { path: "/any?x=1" }), {
    status: 200,
    client: undefined,
    fields: [],
  });
});

Deno.test("paths, where given, are the only ones", () => {
  assert.equal(decide({ paths: ["/ping"] }, { path: "/ping?x" }).status, 200);
  assert.equal(decide({ paths: ["/ping"] }, { path: "/pong" }).status, 404);
});

Deno.test("a page gets in from the server's own host or an origin that was named", () => {
  const page = (origin: string, authority = "127.0.0.1:4433") =>
    decide({ origins: ["https://lab.example"] }, { origin, authority }).status;
  assert.equal(page("http://localhost:4480"), 200);
  assert.equal(page("https://127.0.0.1:4433"), 200);
  assert.equal(page("https://lab.example"), 200);
  assert.equal(page("https://ping.example:1", "ping.example"), 200);
  assert.equal(page("https://evil.example"), 403);
  assert.equal(page("http://localhost:4480", "ping.example"), 403);
  assert.equal(page("null"), 403);
  assert.equal(
    page("https://127.0.0.1:4433", ""),
    200,
    "the 2022 draft, which browsers do not speak",
  );
});

Deno.test("a session is had by a name that the server is known by, whatever the page or program says", () => {
  const at = (authority: string, origin?: string) => decide({}, { authority, origin }).status;
  assert.equal(at("localhost:4433"), 200);
  assert.equal(at("ping.example:4433"), 200);
  // DNS rebinding: to the browser the page and the server are of one origin.
  assert.equal(at("evil.example:4433", "https://evil.example:4433"), 403);
  assert.equal(at("evil.example:4433"), 403);
});

Deno.test("a token must be shown, by header or query, and is answered with a proof", () => {
  const status = (headers: Record<string, string>, path = "/") =>
    decide({ token }, { path }, headers).status;
  assert.equal(status({}), 401);
  assert.equal(status({ authorization: `Bearer ${token}x` }), 401);
  assert.equal(status({ authorization: `Basic ${token}` }), 401);
  assert.equal(status({ authorization: `Bearer ${token}` }), 200);
  assert.equal(status({}, `/?token=${token}`), 200);
  const access = decide({ token }, {}, { authorization: `Bearer ${token}`, "pingpong-nonce": "n" });
  assert.deepEqual("fields" in access && access.fields, [[
    "pingpong-proof",
    serverProof(token, "n"),
  ]]);
  assert.notEqual(serverProof(token, "n"), serverProof(token, "m"));
});

Deno.test("a client that names itself is given the number of what waits for it; a bad name is refused", () => {
  const named = { "pingpong-client": "alice-01", "pingpong-run": "12345678" };
  assert.deepEqual(decide({}, {}, named), {
    status: 200,
    client: { name: "alice-01", run: "12345678" },
    fields: [["pingpong-mailbox", "3"]],
  });
  assert.equal(
    decide({}, { path: "/?pingpong-client=alice-01&pingpong-run=12345678" }).status,
    200,
  );
  assert.equal(decide({}, {}, { "pingpong-client": "alice-01" }).status, 400);
  for (const name of ["short", "x".repeat(65), "with space", "semi;colon"]) {
    assert.equal(decide({}, {}, { ...named, "pingpong-client": name }).status, 400, name);
  }
});

testWith(
  ["read", "write"],
  "readToken() reads a line, and refuses what is too short or not there",
  async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, `${token}\n`);
    assert.equal(await readToken(path), token);
    await Deno.writeTextFile(path, "short");
    await assert.rejects(readToken(path), /at least 16/);
    await Deno.remove(path);
    await assert.rejects(readToken(path), /--token-file/);
  },
);
