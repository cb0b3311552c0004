import assert from "node:assert/strict";
import { programNamed, programs } from "../programs.ts";
import { choosePorts, demoArguments, type DemoPorts, describe, makePlace } from "./place.ts";

const options = { orbs: 7, signupInterval: 2 };
const usualPorts: DemoPorts = new Map(
  programs.flatMap(({ name, ports = {} }) =>
    Object.entries(ports).map(([use, { usual }]) => [`${name}/${use}`, usual] as const)
  ),
);

Deno.test("demoArguments() gives a program its ports and what its entry in the table says", () => {
  const place = makePlace(options, usualPorts, "/tmp/demo", false);
  const argumentsOf = (name: string) => demoArguments(programNamed(name), place).join(" ");
  // What the console gets, the simulator shows.
  assert.equal(
    argumentsOf("console"),
    "--page-port 8080 --otlp-port 4318 --grpc-port 4317 --programs /tmp/demo/programs.json " +
      "--forward http://127.0.0.1:9292",
  );
  assert.equal(argumentsOf("orb-server"), "--orb-api-port 4242 --data-dir /tmp/demo/orb-server");
  assert.match(argumentsOf("orb-client"), /^--orb-server http:\/\/127\.0\.0\.1:4242 .*--orbs 7 /);
  assert.match(argumentsOf("pingpong-server"), /^--port 4433 --https-port 4433 --page-port 4480 /);
  assert.equal(
    argumentsOf("observer"),
    "--metrics-address 127.0.0.1:33333 --interval 5s " +
      "--endpoint rkt=127.0.0.1:15441 --endpoint cri=127.0.0.1:15442",
  );
});

Deno.test("with --oauth orbs get tokens of an issuer that starts first", () => {
  const place = makePlace({ ...options, oauth: true }, usualPorts, "/tmp/demo", false);
  const argumentsOf = (name: string) => demoArguments(programNamed(name), place).join(" ");
  assert.equal(programNamed("issuer").demo!.when!(place), true);
  assert.match(argumentsOf("issuer"), /--device-keys \/tmp\/demo\/devices\/public\.jwks\.json/);
  assert.match(argumentsOf("orb-server"), / --oauth-issuer http:\/\/127\.0\.0\.1:4280$/);
  assert.match(argumentsOf("orb-client"), / --device-keys \/tmp\/demo\/devices /);
  const without = makePlace(options, usualPorts, "/tmp/demo", false);
  assert.equal(programNamed("issuer").demo!.when!(without), false);
});

Deno.test("where there is a container runtime, the observer looks for it by itself", () => {
  const place = makePlace(options, usualPorts, "/tmp/demo", true);
  assert.equal(programNamed("image-service").demo!.when!(place), false);
  assert.deepEqual(demoArguments(programNamed("observer"), place), [
    ...["--metrics-address", "127.0.0.1:33333", "--interval", "5s"],
  ]);
});

Deno.test("describe() says where a program is found, by its health port or its ports", () => {
  const place = makePlace(options, usualPorts, "/tmp/demo", false);
  const of = (name: string) => describe(programNamed(name), place);
  assert.deepEqual(of("signer-api"), [
    "signatures, by a service inside itself",
    "http://127.0.0.1:8090/sign",
  ]);
  assert.equal(of("image-service")[1], "127.0.0.1:15441 (rkt), 127.0.0.1:15442 (cri)");
  assert.deepEqual(of("orb-client"), ["a fleet of 7 orbs that sign up irises", ""]);
});

Deno.test({
  name: "choosePorts() prefers what a flag says, names what is in use, else takes free ones",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const reported: [string, number, number][] = [];
    const ports = choosePorts({
      preferred: { orbApiPort: taken.addr.port },
      freePorts: true,
      onTaken: (...report) => reported.push(report),
    });
    const chosen = ports.get("orb-server/api")!;
    assert.ok(chosen > taken.addr.port);
    assert.deepEqual(reported, [["orb-server's api", taken.addr.port, chosen]]);
    assert.equal(new Set(ports.values()).size, ports.size);
    assert.notEqual(ports.get("console/page"), 8080);
  },
});
