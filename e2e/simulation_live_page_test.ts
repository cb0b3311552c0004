/**
 * The simulation's page in a real browser, driving what runs live on this machine: orders, parts, and
 * everything that can be made to go wrong.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import type { Fault } from "../simulator/live/faults.ts";
import { type TestSimulator, testSimulator } from "../simulator/test_simulator.ts";

interface Fixture {
  simulator: TestSimulator;
}

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

/** A kind of fault, what its switch turns on, how it is changed by the keyboard, and to what. */
interface BeyondCase {
  readonly title: string;
  readonly usual: object;
  /** Keys by slider. */
  readonly slide: Readonly<Record<string, string>>;
  readonly part?: string;
  readonly set: object;
  readonly shown: readonly RegExp[];
}

const beyondCases: readonly BeyondCase[] = [
  ...(["orders", "results"] as const).map((topic): BeyondCase => ({
    title: `Full queue: ${topic}`,
    usual: { kind: "full-queue", topic, capacity: 4 },
    slide: { "room for": "ArrowRight" },
    set: { capacity: 5 },
    shown: [/^5 messages$/],
  })),
  {
    title: "Poison messages",
    usual: { kind: "poison", probability: 0.1 },
    slide: { "how many": "End" },
    set: { probability: 1 },
    shown: [/^100\s% of messages$/],
  },
  {
    title: "Slow consumer",
    usual: { kind: "slow-consumer", probability: 0.1, minDurationMs: 4_000 },
    slide: { "how many": "End", "takes": "ArrowLeft" },
    set: { probability: 1, minDurationMs: 3_000 },
    shown: [/^100\s% of messages$/, /^3\ss$/],
  },
  {
    title: "Clock skew",
    usual: { kind: "clock-skew", part: "lambda-2", skewMs: -3_000 },
    slide: { "wrong by": "Home" },
    part: "relay-1.1",
    set: { part: "relay-1.1", skewMs: -3_600_000 },
    shown: [/^1\sh behind$/],
  },
  {
    title: "Random crash",
    usual: { kind: "crash", part: "*", probability: 0.05, minDurationMs: 2_000 },
    slide: { "how likely": "End", "down for": "ArrowRight" },
    part: "processor-2",
    set: { part: "processor-2", probability: 1, minDurationMs: 3_000 },
    shown: [/^100\s% each second$/, /^3\ss or more$/],
  },
  {
    title: "Random pause",
    usual: { kind: "pause", part: "*", probability: 0.05, minDurationMs: 5_000 },
    slide: { "how likely": "End", "held for": "End" },
    part: "lambda-1.0",
    set: { part: "lambda-1.0", probability: 1, minDurationMs: 3_600_000 },
    shown: [/^100\s% each second$/, /^1\sh$/],
  },
];

async function openLive({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const simulator = undo.use(await testSimulator({ live: { instances: 2, keys: 4 } }));
  await page.goto(`${simulator.url}/simulation`);
  await page.getByRole("link", { name: "Live" }).click();
  await page.getByText("Live", { exact: true }).last().waitFor();
  return { simulator };
}

async function faultsOf({ url }: TestSimulator): Promise<Fault[]> {
  const { faults } = await (await fetch(`${url}/api/faults`)).json() as { faults: Fault[] };
  return faults;
}

async function setFaults({ url }: TestSimulator, faults: readonly object[]): Promise<void> {
  const body = JSON.stringify({ faults });
  const answer = await fetch(`${url}/api/faults`, { method: "PUT", body });
  assert.deepEqual(await answer.json(), { faults });
}

function becomes(simulator: TestSimulator, expected: readonly object[]): Promise<true> {
  return eventually(
    `the faults ${JSON.stringify(expected)}`,
    async () => JSON.stringify(await faultsOf(simulator)) === JSON.stringify(expected) || undefined,
  );
}

/** A kind at a point: how each of its knobs is set by the keyboard, and to what. */
interface KnobCase {
  readonly kind: string;
  /** A key by the name of a slider, or what is chosen. */
  readonly set: Readonly<Record<string, { key: string } | { choose: string }>>;
  readonly becomes: object;
  readonly shown: readonly RegExp[];
}

const knobCases: readonly KnobCase[] = [
  ...["refuse", "lose-answer"].map((kind): KnobCase => ({
    kind,
    set: { "goes on for": { key: "End" } },
    becomes: { minDurationMs: 3_600_000 },
    shown: [/^1\sh$/],
  })),
  {
    kind: "time-out",
    set: { "goes on for": { key: "ArrowRight" }, "which way": { choose: "back" } },
    becomes: { minDurationMs: 10, direction: "back" },
    shown: [/^10\sms$/],
  },
  {
    kind: "delay",
    set: {
      "goes on for": { key: "End" },
      "late by": { key: "ArrowRight" },
      "which way": { choose: "there" },
    },
    becomes: { minDurationMs: 3_600_000, delayMs: 500, direction: "there" },
    shown: [/^1\sh$/, /^500\sms$/],
  },
  {
    kind: "duplicate",
    set: { "goes on for": { key: "End" }, "again after": { key: "ArrowLeft" } },
    becomes: { minDurationMs: 3_600_000, delayMs: 100 },
    shown: [/^1\sh$/, /^100\sms$/],
  },
  {
    kind: "reorder",
    set: { "goes on for": { key: "End" }, "held for": { key: "Home" } },
    becomes: { minDurationMs: 3_600_000, delayMs: 0 },
    shown: [/^1\sh$/, /^0\sms$/],
  },
  ...["crash-before", "crash-after"].map((kind): KnobCase => ({
    kind,
    set: { "down for": { key: "End" } },
    becomes: { minDurationMs: 3_600_000 },
    shown: [/^1\sh or more$/],
  })),
  {
    kind: "outage",
    set: { "lasts": { key: "ArrowLeft" }, "which way": { choose: "there" } },
    becomes: { minDurationMs: 4_000, direction: "there" },
    shown: [/^4\ss$/],
  },
];

const kindNames: Readonly<Record<string, string>> = {
  "time-out": "time out",
  "lose-answer": "lose answer",
  "crash-before": "crash before",
  "crash-after": "crash after",
};

testPage("simulation page, live", {
  page: "simulator-simulation",
  open: openLive,
  cases: {
    async "drives what runs on this machine: orders, faults, parts; and takes it for a run"(
      { page, simulator },
    ) {
      await button(page, "Place an order").click();
      await page.getByRole("button", { name: "Confirmed: 1 order" }).waitFor();
      await page.getByText(/Processor 1[ab] applied result 1: confirmation/).waitFor();
      await page.getByRole("switch", { name: /Fault point 2/ }).click();
      await page.getByText("1 fault on").waitFor();
      assert.deepEqual(await faultsOf(simulator), [
        { kind: "lose-answer", point: 2, probability: 0.2 },
      ]);
      // Both are set before the first has rested: none is lost.
      await page.getByLabel("How likely a fault is at point 2").press("End");
      await page.getByLabel("Kind of fault at point 2").selectOption("delay");
      await becomes(simulator, [{ kind: "delay", point: 2, probability: 1 }]);
      await button(page, "Heal").click();
      await page.getByText("no faults").waitFor();
      // Between two places of the slider: what is set is shown, not the nearest of them.
      await setFaults(simulator, [{ point: 3, kind: "delay", probability: 0.3 }]);
      await page.locator(".fault-on .fault-rate", { hasText: /^30\s%$/ }).waitFor();
      await setFaults(simulator, []);
      await page.getByText("no faults").waitFor();
      await page.getByRole("button", { name: /^Relay 1: / }).click();
      await button(page, "Kill").first().click();
      await page.getByRole("button", { name: "Relay 1: a down, b up" }).waitFor();
      await button(page, "Start").click();
      await page.getByRole("button", { name: "Relay 1: a up, b up" }).waitFor();
      assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
      await button(page, "Replay it here").click();
      await page.getByText(/what happened live/).waitFor();
      await page.getByRole("button", { name: "To the end" }).click();
      await page.getByRole("button", { name: "Confirmed: 1 of 1 orders" }).waitFor();
    },

    async "what has just happened holds while somebody reads it, and keys act on no run behind it"(
      { page },
    ) {
      const steps = page.getByRole("region", { name: "What has just happened" });
      await button(page, "Place an order").click();
      await page.getByRole("button", { name: "Confirmed: 1 order" }).waitFor();
      await steps.getByText(/applied result 1: confirmation/).waitFor();
      const read = await steps.getByRole("list").innerText();
      await steps.getByRole("heading").hover();
      await button(page, "Place an order").press("Enter");
      await page.getByRole("button", { name: "Confirmed: 2 orders" }).waitFor();
      const pill = steps.getByRole("button", { name: /^\d+ new$/ });
      await pill.waitFor();
      assert.equal(await steps.getByRole("list").innerText(), read);
      await pill.click();
      await steps.getByText(/applied result 2: confirmation/).waitFor();
      await page.keyboard.press("t");
      await page.keyboard.press("ArrowRight");
      assert.match(page.url(), /view=live/);
    },

    async "a step leads to its trace in the console, where one is known"({ page, simulator }) {
      await page.route(
        "**/api/programs",
        (route) => route.fulfill({ json: { console: "http://127.0.0.1:8080", programs: [] } }),
      );
      await page.goto(`${simulator.url}/simulation?view=live`);
      await button(page, "Place an order").click();
      const steps = page.getByRole("region", { name: "What has just happened" });
      const applied = steps.getByRole("listitem").filter({ hasText: /applied result 1/ });
      const link = applied.getByRole("link", { name: "trace" });
      await link.waitFor();
      const { data } = await (await fetch(`${simulator.url}/graphql`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ query: "{ orders(last: 1) { trace } }" }),
      })).json();
      const id = data.orders[0].trace as string;
      assert.equal(await link.getAttribute("href"), `http://127.0.0.1:8080/traces/${id}`);
    },

    async "an order that is lost is counted, and said to whoever cannot see it"({ page }) {
      await using simulator = await testSimulator({
        live: { instances: 1, keys: 1, pattern: "fire-and-forget" },
      });
      await setFaults(simulator, [{ point: 2, kind: "refuse", probability: 1 }]);
      await page.goto(`${simulator.url}/simulation?view=live`);
      await button(page, "Place an order").click();
      await page.getByText("1 order lost: in no box any more").waitFor();
      assert.match(await page.locator(".figure-bad").innerText(), /^1\s*lost|^lost\s*1/);
    },

    async "sets what goes wrong beyond the points, and switches it off again"(
      { page, simulator },
    ) {
      const section = page.getByRole("region", { name: "Beyond the points" });
      const become = (expected: object[]) => becomes(simulator, expected);
      for (const { title, usual, slide, part, set, shown } of beyondCases) {
        const toggle = section.getByRole("switch", { name: title, exact: true });
        await toggle.press("Space");
        await become([usual]);
        await page.getByText("1 fault on").waitFor();
        if (part !== undefined) {
          await section.getByLabel(`${title}: which part`).selectOption(part);
          await become([{ ...usual, part }]);
        }
        for (const [name, key] of Object.entries(slide)) {
          await section.getByRole("slider", { name: `${title}: ${name}` }).press(key);
        }
        await become([{ ...usual, ...set }]);
        const row = section.getByRole("listitem").filter({
          has: page.getByRole("switch", { name: title, exact: true }),
        });
        for (const text of shown) await row.getByText(text).waitFor();
        await toggle.press("Space");
        await become([]);
        await page.getByText("no faults").waitFor();
        // What it had is had again.
        await toggle.press("Space");
        await become([{ ...usual, ...set }]);
        await button(page, "Heal").click();
        await become([]);
        await page.getByText("no faults").waitFor();
      }
    },

    async "shows each fault that the API has set, and changes it alone; narrow and dark too"(
      { page, simulator },
    ) {
      const faults = [
        { kind: "crash", part: "relay-1", probability: 0 },
        { kind: "clock-skew", part: "lambda-2.1", skewMs: 1_234 },
        { kind: "clock-skew", part: "janitor-1", skewMs: -5_000 },
      ];
      await setFaults(simulator, faults);
      const section = page.getByRole("region", { name: "Beyond the points" });
      await page.getByText("2 faults on").waitFor();
      // Between two places of the slider: what is set is shown.
      await section.getByText(/^1\.23\ss ahead$/).waitFor();
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        assert.deepEqual(await axeFindings(page, ["serious", "critical"]), [], colorScheme);
      }
      await page.setViewportSize({ width: 360, height: 740 });
      await section.getByRole("switch", { name: "Clock skew (2)" }).click();
      await becomes(simulator, faults.slice(0, 2));
      await section.getByText("Clock skew (2)").waitFor({ state: "detached" });
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, `${width} pixels wide`);
      assert.deepEqual(await axeFindings(page, ["serious", "critical"]), [], "narrow");
    },

    async "sets every knob that a kind of fault has at a point, by the keyboard"(
      { page, simulator },
    ) {
      await page.getByRole("button", { name: /^more.*settings of point 2$/ }).press("Enter");
      const panel = page.getByRole("complementary", { name: "Fault point 2" });
      await page.getByRole("switch", { name: /Fault point 2/ }).first().press("Space");
      for (const { kind, set, becomes: expected, shown } of knobCases) {
        const name = kindNames[kind] ?? kind;
        await page.getByLabel("Kind of fault at point 2").selectOption(kind);
        // Of what the kind before had, nothing is left.
        await becomes(simulator, [{ kind, point: 2, probability: 0.2 }]);
        // The page has its answer after the server has given it.
        await panel.getByLabel(`Point 2, ${name}: how likely`).waitFor();
        const offered = await panel.getByLabel(new RegExp(`^Point 2, ${name}: `)).evaluateAll((
          all,
        ) => all.map((one) => one.getAttribute("aria-label")!.split(": ")[1]));
        assert.deepEqual(offered, ["how likely", ...Object.keys(set)], "and no other knob");
        for (const [knob, how] of Object.entries(set)) {
          const control = panel.getByLabel(`Point 2, ${name}: ${knob}`);
          if ("key" in how) await control.press(how.key);
          else await control.selectOption(how.choose);
        }
        await becomes(simulator, [{ kind, point: 2, probability: 0.2, ...expected }]);
        for (const text of shown) await panel.getByText(text).waitFor();
      }
      // A second kind has its own, and leaves the first as it is.
      const outage = (await faultsOf(simulator))[0]!;
      await panel.getByLabel("One kind of fault more at point 2").selectOption("refuse");
      await panel.getByLabel("Point 2, refuse: goes on for").press("ArrowRight");
      const refuse = { kind: "refuse", point: 2, probability: 0.2, minDurationMs: 10 };
      await becomes(simulator, [outage, refuse]);
      assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
      await panel.getByRole("button", { name: "Without outage at point 2" }).press("Enter");
      await becomes(simulator, [refuse]);
      await page.keyboard.press("Escape");
      await panel.waitFor({ state: "detached" });
      await page.getByRole("button", { name: /^goes on for 10\sms.*settings of point 2$/ })
        .waitFor();
    },

    async "a knob does what it says: which way, how late, and how long"({ page, simulator }) {
      const steps = page.getByRole("region", { name: "What has just happened" });
      await page.goto(`${simulator.url}/simulation?view=live&point=2`);
      const knob = (name: string) => page.getByLabel(`Point 2, ${name}`);
      await page.getByRole("switch", { name: /Fault point 2/ }).first().click();
      await page.getByText("1 fault on").waitFor();
      await page.getByLabel("How likely a fault is at point 2").press("End");
      await page.getByLabel("Kind of fault at point 2").selectOption("time-out");
      await becomes(simulator, [{ kind: "time-out", point: 2, probability: 1 }]);
      await button(page, "Place an order").click();
      // Both ways: nothing comes to the bus. Only back: it does, and who has sent it does not know.
      await steps.getByText(/order 1 never arrived; whoever sent it waits in vain/).first()
        .waitFor();
      await page.getByRole("button", { name: "Confirmed: 0 orders" }).waitFor();
      await knob("time out: which way").selectOption("back");
      await steps.getByText(/order 1 arrived, but its answer was lost/).first().waitFor();
      await page.getByRole("button", { name: "Confirmed: 1 order" }).waitFor();
      // How late.
      await page.getByLabel("Kind of fault at point 2").selectOption("delay");
      await knob("delay: late by").press("ArrowRight");
      await becomes(simulator, [{ kind: "delay", point: 2, probability: 1, delayMs: 500 }]);
      await button(page, "Place an order").click();
      await steps.getByText(/order 2 was delayed by 500\sms, half of it each way/).first()
        .waitFor();
      await page.getByRole("button", { name: "Confirmed: 2 orders" }).waitFor();
      // How long: who crashes is not back.
      await page.getByLabel("Kind of fault at point 2").selectOption("crash-before");
      await knob("crash before: down for").press("End");
      await becomes(simulator, [
        { kind: "crash-before", point: 2, probability: 1, minDurationMs: 3_600_000 },
      ]);
      await button(page, "Place an order").click();
      await page.getByRole("button", { name: "Relay 1: a down, b down" }).waitFor();
      await steps.getByText(/Relay 1[ab] crashed; it is down for 1\sh/).first().waitFor();
    },
  },
});
