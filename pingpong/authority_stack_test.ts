/**
 * A certificate that an authority has signed, and the page in a Chromium whose user trusts that
 * authority: no hash is told, none is needed.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { buildPage } from "../service/page/build.ts";
import { findChromium, openBrowser } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { run } from "../service/testing/small_disk.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import type { WellKnown } from "./protocol/well_known.ts";
import { startTestServer } from "./test_server.ts";

/** Longer than a certificate may be valid that a browser takes by its hash. */
const days = ["-days", "30"];
const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** An authority, and a pair for loopback that it has signed. */
async function makeAuthority(folder: string) {
  const at = (name: string) => join(folder, name);
  const [ca, caKey] = [at("ca.pem"), at("ca.key")];
  const [certificatePath, keyPath] = [at("cert.pem"), at("key.pem")];
  const make = ["openssl", "req", "-x509", ...newKey, ...days] as const;
  await run(
    ...make,
    ...["-keyout", caKey, "-out", ca, "-subj", "/CN=Ping-pong test authority"],
    ...["-addext", "keyUsage=critical,keyCertSign"],
  );
  await run(
    ...make,
    ...["-keyout", keyPath, "-out", certificatePath, "-CA", ca, "-CAkey", caKey],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"],
  );
  return { ca, certificatePath, keyPath };
}

/** A home whose user trusts the authority: on Linux Chromium looks into NSS's database there. */
async function makeHome(folder: string, ca: string): Promise<string> {
  const home = join(folder, "home");
  const database = join(home, ".pki", "nssdb");
  await Deno.mkdir(database, { recursive: true });
  const certutil = ["certutil", "-d", `sql:${database}`] as const;
  await run(...certutil, "-N", "--empty-password");
  await run(...certutil, "-A", "-n", "authority", "-t", "C,,", "-i", ca);
  return home;
}

testWithStack(
  "Chromium trusts the certificate of its user's authority, without any hash: page and WebTransport",
  async () => {
    const chromium = findChromium();
    assert.ok(chromium, "There is no Chromium on this machine: apt-get install chromium");
    await buildPage("pingpong");
    await using undo = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "pingpong-authority-" });
    undo.defer(() => Deno.remove(folder, { recursive: true }));
    const { ca, ...paths } = await makeAuthority(folder);
    const HOME = await makeHome(folder, ca);
    const { server } = undo.use(await startTestServer(paths));
    const stranger = undo.use(await startTestServer());
    const browser = await openBrowser(chromium, { env: { HOME }, ownAuthorities: true });
    undo.defer(() => browser.close());

    const page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    // No error of a certificate is overlooked here: it is the authority that the browser trusts.
    await page.goto(`${server.httpsUrl}/.well-known/pingpong.json`);
    const { webtransport } = JSON.parse(await page.innerText("pre")) as WellKnown;
    assert.deepEqual(webtransport.certificateHashes, []);

    const opens = (url: string) =>
      page.evaluate(async (url) => {
        const session = new WebTransport(url);
        session.closed.catch(() => {});
        return await session.ready.then(() => true, () => undefined);
      }, url);
    // A busy machine may miss the limit of a handshake.
    await eventually("a session", () => opens(server.url));
    const refusal =
      `${stranger.server.url}: net::ERR_QUIC_PROTOCOL_ERROR.QUIC_TLS_CERTIFICATE_UNKNOWN`;
    await eventually("the refusal of one that nobody vouches for", async () => {
      assert.equal(await opens(stranger.server.url), undefined);
      return complaints.some((line) => line.includes(refusal)) || undefined;
    });

    await page.goto(`${server.httpsUrl}/?interval=20`);
    await page.waitForFunction(() => {
      const rows = [...document.querySelectorAll<HTMLTableRowElement>(".figures-table tbody tr")];
      return rows.filter(({ cells }) => Number(cells[2]!.textContent) > 5).length === 3;
    });
  },
);
