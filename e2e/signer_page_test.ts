/**
 * The signer's page in a real browser, against a REST API with a signing service inside itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { startConsole } from "./console_fixture.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";

/** A REST API of its own. */
interface Fixture {
  url: string;
  api: TestProgram;
  folder: string;
}

async function startApi(
  folder: string,
  port = "0",
  flags: string[] = [],
  env: Record<string, string> = {},
) {
  const api = await startProgram(new URL("../signer/rest_api.ts", import.meta.url), [
    ...["--port", port, "--data-dir", folder, "--timeout-ms", "1000"],
    ...flags,
  ], env);
  const [, url] = await api.line(/Listening url=(\S+)/);
  return { api, url: url! };
}

async function open({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const folder = await Deno.makeTempDir();
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  const { api, url } = await startApi(folder);
  undo.use(api);
  await page.goto(url);
  await page.locator(".pill-live").waitFor();
  return { url, api, folder };
}

async function send(page: Page, message: string): Promise<void> {
  await page.getByLabel("Message to sign").fill(message);
  await page.keyboard.press("Enter");
}

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "an empty page says what to do; a message gets its signature, which verifies"({ page }) {
    await page.getByText("Nothing signed yet").waitFor();
    await page.getByText("curl -X POST").waitFor();
    await send(page, "hello");
    const answer = page.locator(".answer");
    await answer.getByText("ed25519").waitFor();
    assert.match(await answer.innerText(), /hello[\s\S]*ms[\s\S]*Signature[\s\S]*Key/);
    const signature = await answer.locator("code").first().getAttribute("title");
    assert.match(signature!, /^[A-Za-z0-9+/]{86}==$/);
    await answer.getByRole("button", { name: "Verify" }).click();
    await answer.getByText("✓ valid").waitFor();
  },

  async "the newest answer is first, the empty message has one, and strange text stays text"(
    { page },
  ) {
    const strange = '<img src=x onerror="document.title=1">';
    for (const message of ["first", "", strange]) await send(page, message);
    await page.locator(".answer", { hasText: "ed25519" }).nth(2).waitFor();
    const messages = await page.locator(".answer-message").allInnerTexts();
    assert.deepEqual(messages, [strange, "empty message", "first"]);
    assert.equal(await page.locator(".answer img").count(), 0);
  },

  async "an error looks different, says so in words, and the filter for errors is in the address"(
    { page, url },
  ) {
    await send(page, "fine");
    await page.locator(".answer", { hasText: "ed25519" }).waitFor();
    await send(page, "x".repeat(1_000_001));
    const failed = page.locator(".answer-failed");
    await failed.getByText("Error: Too large.").waitFor();
    await page.getByRole("link", { name: "Errors" }).click();
    assert.equal(page.url(), `${url}?show=errors`);
    assert.equal(await page.locator(".answer").count(), 1);
    await page.goBack();
    assert.equal(await page.locator(".answer").count(), 2);
  },

  async "a rotated key signs what comes next, and what came before still verifies"({ page, url }) {
    await send(page, "before");
    await page.locator(".answer", { hasText: "ed25519" }).waitFor();
    const rotated = await fetch(new URL("/keys/rotate", url), { method: "POST" });
    assert.equal(rotated.status, 201);
    await rotated.body?.cancel();
    await send(page, "after");
    await page.locator(".answer", { hasText: "ed25519" }).nth(1).waitFor();
    const keys = await page.locator(".answer").evaluateAll((answers) =>
      answers.map((answer) => answer.querySelectorAll("code")[1]!.getAttribute("title"))
    );
    assert.equal(new Set(keys).size, 2);
    await page.locator(".answer").nth(1).getByRole("button", { name: "Verify" }).click();
    await page.getByText("✓ valid, older key").waitFor();
  },

  async "the page says that the server is gone, comes back by itself, and signs again"(
    { page, url, api, folder },
  ) {
    await send(page, "before");
    await page.locator(".answer", { hasText: "ed25519" }).waitFor();
    api.kill("SIGKILL");
    await api.status;
    await page.locator(".pill-broken").waitFor();
    assert.equal(await page.getByRole("button", { name: "Send", exact: true }).isDisabled(), true);
    const again = await startApi(folder, new URL(url).port);
    await using _again = again.api;
    await page.locator(".pill-live").waitFor();
    await send(page, "after");
    await page.locator(".answer", { hasText: "after" }).getByText("ed25519").waitFor();
  },

  async "a signer that stands still is no live one; what waits says how long, and can be cancelled"(
    { page, folder },
  ) {
    const { api, url } = await startApi(`${folder}/patient`, "0", ["--timeout-ms", "60000"]);
    await using frozen = api;
    await page.goto(url);
    await page.locator(".pill-live").waitFor();
    await send(page, "before");
    await page.locator(".answer", { hasText: "ed25519" }).waitFor();
    frozen.kill("SIGSTOP");
    try {
      await send(page, "while frozen");
      await page.getByText(/Waiting for the signature: [1-9]\d*\.\d s of at most 61 s/).waitFor();
      await page.getByText(/^No data for \d+ s$/).waitFor();
      await page.getByRole("link", { name: "Errors" }).click();
      await page.getByText("1 message still without an answer.").waitFor();
      await page.goBack();
      await page.getByRole("button", { name: "Cancel: while frozen" }).click();
      await page.getByText("Error: Cancelled.").waitFor();
      await page.locator("button:focus", { hasText: "Send again" }).waitFor();
    } finally {
      frozen.kill("SIGCONT");
    }
    await page.locator(".pill-live").waitFor();
    await page.keyboard.press("Enter");
    await page.locator(".answer", { hasText: "ed25519" }).nth(1).waitFor();
  },

  async "in a demo it leads to the other programs, a trace's id into the console, in one theme"(
    { page, context, folder },
  ) {
    const programs = `${folder}/programs.json`;
    await using viewer = await startConsole(undefined, ["--programs", programs]);
    const console = { name: "console", what: "traces", page: viewer.fields.page, state: "up" };
    const orb = { name: "orb-server", what: "signup", state: "down", ended: "by SIGKILL" };
    await Deno.writeTextFile(programs, JSON.stringify([console, orb]));
    const { api, url } = await startApi(`${folder}/demo`, "0", [], {
      OTEL_SDK_DISABLED: "false",
      OTEL_EXPORTER_OTLP_ENDPOINT: viewer.fields.otlp!,
      OTEL_BSP_SCHEDULE_DELAY: "100",
      OTEL_ORRERY_CONSOLE_URL: viewer.fields.page!,
    });
    await using _api = api;
    await page.emulateMedia({ colorScheme: "light" });
    await page.goto(url);
    await page.getByRole("button", { name: /^Theme/ }).click();
    await page.getByRole("button", { name: /^Theme: light/ }).click();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
    await send(page, "followed");
    await page.locator(".answer").getByTitle("Open trace").click();
    await page.waitForURL(`${viewer.fields.page}/traces/*`);
    await page.getByRole("treeitem", { name: /^send signer\.v1 / }).waitFor();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();

    await page.goBack();
    await page.getByText("1 down").click();
    const menu = page.locator(".switch-list");
    await menu.getByText("down (by SIGKILL)").waitFor();
    await menu.getByRole("link", { name: "console" }).click();
    await page.waitForURL(`${viewer.fields.page}/`);
    // What the page itself asked for is no trace: what it did is.
    const operations = await context.request.get(
      `${viewer.fields.page}/api/services/signer-api/operations`,
    );
    const { data } = await operations.json();
    assert.ok(data.some((name: string) => name.startsWith("send signer.v1")), data.join());
    const own = /assets|programs|streams|livez/;
    assert.deepEqual(data.filter((name: string) => own.test(name)), []);
  },

  async "everything can be done by keyboard"({ page }) {
    await page.keyboard.press("/");
    await page.keyboard.type("by hand");
    await page.keyboard.press("Enter");
    await page.locator(".answer", { hasText: "ed25519" }).waitFor();
    const verify = page.getByRole("button", { name: "Verify" });
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press("Tab");
      if (await verify.evaluate((button) => button === document.activeElement)) break;
    }
    await page.keyboard.press("Enter");
    await page.getByText("✓ valid").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  },

  async "axe finds nothing, wide and narrow, light and dark, empty and full"({ page }) {
    const check = async (what: string) => assert.deepEqual(await axeFindings(page), [], what);
    await check("empty");
    await send(page, "hello");
    await send(page, "x".repeat(1_000_001));
    await page.locator(".answer-failed").waitFor();
    await page.locator(".answer", { hasText: "ed25519" }).waitFor();
    await check("full");
    await page.emulateMedia({ colorScheme: "dark" });
    await check("dark");
    await page.setViewportSize({ width: 360, height: 700 });
    await check("narrow");
    const overflow = await page.evaluate(() =>
      document.documentElement.scrollWidth - document.documentElement.clientWidth
    );
    assert.equal(overflow, 0, "nothing sticks out sideways");
  },
};

testPage("signer page", { page: "signer", open, cases });
