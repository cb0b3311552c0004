import assert from "node:assert/strict";
import { addDeviceRoutes } from "../devices/device_routes.ts";
import { addSignupRoutes } from "../signups/signup_routes.ts";
import { createOrbApi, openApiDocument, type OrbAccess, type OrbScope } from "./orb_api.ts";

interface Document {
  paths: Record<string, Record<string, { tags?: string[]; security?: { token: OrbScope[] }[] }>>;
  components: { securitySchemes?: object };
  tags: { name: string }[];
}

/** Who names a scope has it; who is let pass gets no further than that. */
const access: OrbAccess = {
  authenticated: true,
  require: (...scopes) =>
    function answerAtOnce(c) {
      const passes = scopes.includes(c.req.header("scope") as OrbScope);
      return Promise.resolve(new Response(null, { status: passes ? 204 : 403 }));
    },
};

function apiOf() {
  const api = createOrbApi();
  // Nobody comes as far as to these.
  addSignupRoutes(api, { access } as Parameters<typeof addSignupRoutes>[1]);
  addDeviceRoutes(api, { access } as Parameters<typeof addDeviceRoutes>[1]);
  return api;
}

Deno.test("each operation asks for the scopes that the document names", async () => {
  const api = apiOf();
  const { paths } = openApiDocument(api, true) as Document;
  const all: OrbScope[] = ["orb:signup", "orb:telemetry", "orb:admin"];
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
  );
  assert.ok(operations.length >= 14, `${operations.length}`);
  for (const { path, method, operation } of operations) {
    const url = path.replace("{id}", "01M7YWWF73WJAQYR7RMSPYEYZP").replace(
      "{upload}",
      "0".repeat(32),
    );
    const body = ["post", "put"].includes(method) ? "{}" : null;
    const allowed: OrbScope[] = [];
    for (const scope of all) {
      const headers = { scope, "content-type": "application/json", "content-length": "2" };
      const { status } = await api.request(url, { method: method.toUpperCase(), headers, body });
      assert.ok([204, 403].includes(status), `${method} ${path}: ${status}`);
      if (status === 204) allowed.push(scope);
    }
    const named = operation.security?.flatMap(({ token }) => token);
    assert.deepEqual(named?.toSorted(), allowed.toSorted(), `${method} ${path}`);
    assert.equal(operation.tags?.length, 1, `${method} ${path}`);
  }
});

Deno.test("a server that asks for no token says so in its document", () => {
  const open = openApiDocument(apiOf(), false) as Document;
  for (const path of Object.values(open.paths)) {
    for (const { security } of Object.values(path)) assert.equal(security, undefined);
  }
  assert.equal(open.components.securitySchemes, undefined);
  const closed = openApiDocument(apiOf(), true) as Document;
  assert.deepEqual(Object.keys(closed.components.securitySchemes ?? {}), ["token"]);
  assert.deepEqual(closed.tags.map(({ name }) => name), ["signups", "devices", "operators"]);
});
