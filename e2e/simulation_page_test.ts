/**
 * The simulation's page in a real browser: its runs are made by its own workers.
 *
 * @module
 */
import assert from "node:assert/strict";
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
    await button(page, "To the beginning").click();
    await page.getByText("no faults").waitFor();
    await page.goBack();
  },

  async "is usable by keyboard and screen reader, in light and dark, from 360 pixels"({ page }) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await axeFindings(page, ["serious", "critical"]), [], colorScheme);
    }
    await page.setViewportSize({ width: 360, height: 740 });
    await eventually(
      "no sideways scroll",
      async () =>
        await page.evaluate(() => document.documentElement.scrollWidth <= 360) || undefined,
      5_000,
    );
    assert.deepEqual(await axeFindings(page, ["serious", "critical"]), [], "narrow");
  },
};

testPage("simulation page", { page: "simulator-simulation", open, cases });
