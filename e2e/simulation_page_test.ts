/**
 * The simulation's page in a real browser: its runs are made by its own workers.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type TestSimulator, testSimulator } from "../simulator/test_simulator.ts";

interface Fixture {
  simulator: TestSimulator;
}

async function open({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const simulator = undo.use(await testSimulator());
  await page.goto(`${simulator.url}/simulation`);
  await page.locator(".event-words").waitFor();
  return { simulator };
}

const words = (page: Page) => page.locator(".event-words").innerText();
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const wide = (page: Page) => page.emulateMedia({ reducedMotion: "no-preference" });

/** Milliseconds of virtual time that the page shows. */
async function virtualMs(page: Page): Promise<number> {
  const text = await page.locator(".transport-time b").innerText();
  return parseFloat(text) * 1_000;
}

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "begins with a finished run, paused where the first fault happened"({ page }) {
    assert.match(await words(page), /^Point 2, Outbox 1 to bus: order 3 .* answer was lost/);
    await page.getByText("no faults").waitFor();
    assert.ok(await virtualMs(page) > 0);
  },

  async "goes on and back, by event and by message, and anywhere"({ page }) {
    const first = await words(page);
    await page.keyboard.press("ArrowRight");
    assert.match(await words(page), /Relay 1a put order 3 on the bus/);
    await page.keyboard.press("ArrowLeft");
    assert.equal(await words(page), first);
    await button(page, "Next message").click();
    await button(page, "Message before").click();
    assert.equal(await words(page), first);
    await button(page, "To the end").click();
    await page.getByRole("button", { name: "Confirmed: 6 of 6 orders" }).waitFor();
    await button(page, "To the beginning").click();
    await page.getByText("Nothing has happened yet").waitFor();
    await page.getByRole("button", { name: "Confirmed: 0 of 6 orders" }).waitFor();
    await page.getByLabel("Time in the run").fill("900");
    assert.ok(Math.abs(await virtualMs(page) - 900) < 1);
  },

  async "plays and pauses; with reduced motion it only steps"({ page }) {
    assert.equal(await button(page, "Play").count(), 0);
    await wide(page);
    await button(page, "Play").click();
    const before = await virtualMs(page);
    await eventually("time", async () => await virtualMs(page) > before + 5 || undefined, 10_000);
    await button(page, "Pause").click();
    const paused = await virtualMs(page);
    await page.waitForFunction(() =>
      new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))
    );
    assert.equal(await virtualMs(page), paused);
  },

  async "a switch sets a fault from this instant on, and the past stays"({ page }) {
    await button(page, "To the beginning").click();
    const point = page.getByRole("switch", { name: "Fault point 2: Outbox 1 to bus" });
    assert.equal(await point.getAttribute("aria-checked"), "false");
    await page.getByLabel("Time in the run").fill("400");
    await point.click();
    await page.getByText("1 fault on").waitFor();
    assert.equal(await point.getAttribute("aria-checked"), "true");
    const faulty = page.url();
    await button(page, "To the beginning").click();
    await page.getByText("no faults").waitFor();
    // What was set is part of the link.
    await page.goto(faulty);
    await page.getByText("1 fault on").waitFor();
  },

  async "a fault at a point has all its knobs; how they are set is part of the link"({ page }) {
    await page.getByLabel("Kind of fault at point 2").selectOption("outage");
    await page.getByText("1 fault on").waitFor();
    await page.getByRole("button", { name: /^more.*settings of point 2$/ }).press("Enter");
    const panel = page.getByRole("complementary", { name: "Fault point 2" });
    // Unless they are set, they are drawn from the seed.
    await panel.getByText("as drawn", { exact: true }).first().waitFor();
    await panel.getByLabel("Point 2, outage: lasts").press("End");
    await panel.getByLabel("Point 2, outage: which way").selectOption("there");
    await panel.getByLabel("Point 2, outage: how likely").press("End");
    await eventually(
      "what was set, as the run's event",
      async () =>
        /at point 2, Outbox 1 to bus: outage 1 \(for 600000 ms, there\)/.test(await words(page)) ||
        undefined,
    );
    await button(page, "To the end").click();
    // Nothing has come through until all was healed.
    await page.getByRole("button", { name: /^Bus: orders: / }).waitFor();
    await page.goto(page.url());
    await panel.getByText(/^10\smin/).waitFor();
    assert.equal(await panel.getByLabel("Point 2, outage: which way").inputValue(), "there");
    const lasts = panel.getByLabel("Point 2, outage: lasts");
    // A panel that has just come takes the focus, perhaps from the slider before the key is there.
    await eventually("the slider's least", async () => {
      await lasts.press("Home");
      return await lasts.inputValue() === "0" || undefined;
    });
    await page.getByRole("button", { name: /^one way: there.*settings of point 2$/ }).waitFor();
  },

  async "a part can be killed, and comes back"({ page }) {
    await page.getByRole("button", { name: /^Relay 1: / }).click();
    await button(page, "Kill").first().click();
    await page.getByRole("button", { name: "Relay 1: a down, b up" }).waitFor();
    assert.match(await words(page), /Relay 1a crashed/);
    await button(page, "To the end").click();
    await page.getByRole("button", { name: "Relay 1: a up, b up" }).waitFor();
  },

  async "a fork keeps both futures, side by side, and marks where they part"({ page }) {
    const link = page.url();
    await page.getByText("Branch here").click();
    await button(page, "Branch").click();
    await page.getByText(/B ≠ A from 0\.8\d+/).waitFor();
    assert.equal(await page.locator(".event-mark").count(), 2, "in both");
    await page.getByRole("region", { name: "Run A" }).waitFor();
    await button(page, "A holds").click();
    await page.getByRole("link", { name: "Topology" }).click();
    await page.getByText(/order 3 .* answer was lost/).first().waitFor();
    assert.ok(link.length < 2_000);
  },

  async "another pattern meets the same decisions, and says what it loses"({ page }) {
    await page.goto(`${page.url()}${page.url().includes("?") ? "&" : "?"}view=tour&scene=6`);
    await page.getByText("Does backend 1 ever hear of it?").waitFor();
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByRole("button", { name: "The same decisions by outbox" }).click();
    await page.getByRole("row", { name: /in the end holds .*1 effect is late/ }).waitFor();
  },

  async "opens in another browser as it was left: a link is the whole run"({ page, context }) {
    await page.getByText("New run").click();
    await page.getByLabel("Seed").fill("2");
    await page.getByLabel("Orders", { exact: true }).fill("20");
    await page.getByLabel("Planted bug").last().selectOption("14");
    await button(page, "Run this seed").click();
    await page.getByRole("region", { name: "The failure" }).waitFor();
    const failed = await words(page);
    await eventually("position in the link", () => /at=\d+/.test(page.url()) || undefined, 5_000);
    assert.ok(page.url().length < 2_000);
    const second = await context.newPage();
    await second.goto(page.url());
    await eventually(
      "the same event",
      async () => await words(second) === failed || undefined,
      20_000,
    );
    const hash = (one: Page) => one.locator(".hash code").textContent();
    assert.equal(await hash(second), await hash(page));
  },

  async "a new run has what goes wrong beyond the points as it is set, else as drawn"({ page }) {
    await page.getByText("New run").click();
    await page.getByText("Beyond the points").click();
    const form = page.locator(".new-run-trouble");
    assert.equal(await form.getByText("as drawn").count(), 6);
    await page.getByLabel("Poison", { exact: true }).press("End");
    await form.getByText(/^100\s% of messages$/).waitFor();
    await page.getByLabel("Crashes", { exact: true }).press("ArrowRight");
    await form.getByText("0 times").waitFor();
    assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
    await button(page, "Run this seed").click();
    await page.getByRole("button", { name: /^B / }).waitFor();
    await button(page, "To the end").click();
    // Each was parked, and had another chance once handlers were mended.
    await page.goto(`${page.url()}&view=events&q=parked`);
    await page.locator(".event-row", { hasText: /parked order \d for an operator/ }).first()
      .waitFor();
  },

  async "a file is a run, too: saved here, opened here, refused in words"({ page }) {
    await page.getByText("Share").click();
    const download = page.waitForEvent("download");
    await button(page, "Save as a file").click();
    const path = await (await download).path();
    await page.getByLabel("A run to open").setInputFiles(path);
    await page.getByRole("button", { name: "B holds" }).waitFor();
    assert.match(await words(page), /order 3 .* answer was lost/);
    await page.getByLabel("A run to open").setInputFiles({
      name: "notes.json",
      mimeType: "application/json",
      buffer: Buffer.from("hello"),
    });
    await page.getByText(/notes.json cannot be opened. It is not JSON/).waitFor();
  },

  async "where nothing runs live, nothing live is offered"({ page, simulator }) {
    assert.equal(await page.getByRole("link", { name: "Live" }).count(), 0);
    await page.goto(`${simulator.url}/simulation?view=live`);
    await page.getByText("Nothing runs live here").waitFor();
  },

  async "a broken link is said so, with a way on"({ page, simulator }) {
    await page.goto(`${simulator.url}/simulation?run=abc`);
    await page.getByText("This link cannot be opened").waitFor();
    await page.getByRole("link", { name: "Begin with the first example" }).click();
    await page.locator(".event-words").waitFor();
  },

  async "finds a failure, shrinks it, and says since when it was bound to come"({ page }) {
    await page.getByText("Find a failure").click();
    await button(page, "Find me a failure").click();
    await page.getByText(/[\d.,]+ seeds\/s by/).waitFor();
    const found = page.locator(".sweep-found button").first();
    await found.waitFor({ timeout: 120_000 });
    await found.click();
    await page.getByRole("region", { name: "The failure" }).waitFor();
    // Enough was found. It may have ended by itself: looked for and clicked in one go.
    await page.evaluate(() => {
      const buttons = [...document.querySelectorAll("button")];
      buttons.find(({ textContent }) => textContent?.trim() === "Stop")?.click();
    });
    await page.getByText("Find a failure").click();
    await button(page, "Shrink").click();
    await page.getByText(/decisions? of .* orders? → \d+ decisions? of/).waitFor({
      timeout: 120_000,
    });
    await button(page, "Original").click();
    await page.getByRole("button", { name: "Original", pressed: true }).waitFor();
    await button(page, "Shrunk").click();
    await page.getByText(/deno task simulate replay run-\d+-bug-14\.json/).last().waitFor();
    // The worker hears nothing of it: it could be done before it is cancelled.
    await page.evaluate(() => {
      Worker.prototype.postMessage = () => {};
    });
    await button(page, "Why?").click();
    await button(page, "Cancel").click();
    await page.getByText("Cancelled").waitFor();
  },

  async "a message has a card: its trace, its attempts, the history of its rows"({ page }) {
    await page.goto(`${page.url().split("?")[0]}?message=o3`);
    const card = page.getByRole("complementary", { name: "Order 3" });
    await card.getByText("t-o3").waitFor();
    await card.getByText("claimed, token 1").waitFor();
    await card.getByRole("button", { name: /put order 3 on the bus/ }).first().click();
    assert.match(await words(page), /put order 3 on the bus/);
    await page.keyboard.press("Escape");
    await card.waitFor({ state: "detached" });
  },

  async "the table says what the drawing says, and the diagram leaves out what is not asked for"(
    { page },
  ) {
    await page.keyboard.press("t");
    const row = page.locator(".event-row[aria-current]");
    assert.match(await row.innerText(), /Point 2.*answer was lost/s);
    await page.keyboard.press("t");
    const dots = () => page.locator(".space-time-drawing .st-dot").count();
    const all = await dots();
    await page.getByLabel("Only what led here").check();
    await eventually("fewer events", async () => await dots() < all || undefined, 5_000);
    await page.getByRole("button", { name: "Hide Lambda 2" }).click();
    await page.getByRole("button", { name: "Show all parts" }).click();
    await page.getByRole("button", { name: "Hide Lambda 2" }).waitFor();
  },

  async "a scene of the tour asks first, then shows"({ page, simulator }) {
    await page.goto(`${simulator.url}/simulation?view=tour`);
    await page.getByRole("button", { name: "It arrives" }).click();
    const next = page.getByRole("button", { name: "Next scene →" });
    while (await next.count() === 0) await button(page, "Step →").click();
    await page.getByText("Right. It arrives.").waitFor();
    await next.click();
    await page.getByText("How many orders are there then?").waitFor();
    await button(page, "Two").click();
    await eventually("the end of the scene", async () => {
      if (await next.count() > 0) return true;
      await button(page, "Step →").click();
    }, 20_000);
    await page.getByText("It went otherwise. One.").waitFor();
  },

  async "is usable by keyboard and screen reader, in light and dark, from 360 pixels"(
    { page, simulator },
  ) {
    const views = ["", "?view=events", "?view=compare", "?view=tour", "?message=o3"];
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const view of views) {
        await page.goto(`${simulator.url}/simulation${view}`);
        await page.locator(".simulation").waitFor();
        if (view === "?view=tour") await page.locator(".tour-picture").first().waitFor();
        const findings = await axeFindings(page, ["serious", "critical"]);
        assert.deepEqual(findings, [], `${view} ${colorScheme}`);
      }
    }
    await page.setViewportSize({ width: 360, height: 740 });
    for (const view of [...views, "?tab=now", "?tab=faults", "?tab=time", "?tab=checks"]) {
      await page.goto(`${simulator.url}/simulation${view}`);
      await page.locator(".simulation").waitFor();
      await eventually(
        `no sideways scroll ${view}`,
        async () =>
          await page.evaluate(() => document.documentElement.scrollWidth <= 360) || undefined,
        5_000,
      );
    }
    assert.deepEqual(await axeFindings(page, ["serious", "critical"]), [], "narrow");
  },
};

testPage("simulation page", { page: "simulator-simulation", open, cases });
