import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { missingPermissions } from "../../service/testing/permissions.ts";

/** A network of its own, with an interface that leads somewhere, in which multicast would go out. */
const network = [
  "ip link add v0 type veth peer name v1",
  "echo 1 > /proc/sys/net/ipv6/conf/v0/disable_ipv6",
  "ip addr add 10.9.9.1/24 dev v0",
  ...["v0", "v1", "lo"].map((name) => `ip link set ${name} up`),
  "ip route add default dev v0",
].join(" && ");
const packetsSent = "awk '/v0:/ { print $11 }' /proc/net/dev";

/** Why a network of its own cannot be had; undefined if it can. */
function whyNoNetwork(): string | undefined {
  const missing = missingPermissions([{ name: "run" }, { name: "read" }]);
  if (missing.length > 0) return `needs ${missing.map((one) => `--allow-${one}`).join(" ")}`;
  if (Deno.build.os !== "linux") return "needs Linux' network namespaces";
  try {
    const { success } = new Deno.Command("unshare", {
      args: ["--net", "sh", "-c", network],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? undefined : "may make no network of its own with unshare and ip";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no unshare";
    throw error;
  }
}

const reason = whyNoNetwork();

/** Packets that leave while a server at the address is announced and says goodbye. */
async function packetsOf(address: string): Promise<number> {
  const module = new URL("./announcement.ts", import.meta.url).href;
  const program = `import { announce } from "${module}";
    const options = { instance: "lab", port: 4, address: "${address}", probeIntervalMs: 20 };
    await (await announce(options)).stop();`;
  const { stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      ...["--net", "sh", "-c"],
      `${network} && ${packetsSent} && deno eval "$PROGRAM" && ${packetsSent}`,
    ],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { PROGRAM: program, NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const [before, after, ...more] = text(stdout).trim().split("\n").map(Number);
  assert.ok(after !== undefined && more.length === 0, text(stdout) + text(stderr));
  return after - before!;
}

Deno.test({
  name: "a server that only this machine can reach is not announced to the network" +
    (reason === undefined ? "" : ` (ignored: ${reason})`),
  ignore: reason !== undefined,
  async fn() {
    assert.equal(await packetsOf("127.0.0.1"), 0);
    assert.equal(await packetsOf("::1"), 0);
    assert.ok(await packetsOf("0.0.0.0") > 0, "what others can reach is not announced either");
  },
});
