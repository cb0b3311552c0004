/**
 * The simulator's page in a real browser, against a real server in this process.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { exampleProcess } from "../simulator/example_process.ts";
import { TelemetryClient } from "../simulator/telemetry_client.ts";
import {
  eventLine,
  rawClient,
  type TestSimulator,
  testSimulator,
} from "../simulator/test_simulator.ts";

interface Fixture {
  simulator: TestSimulator;
  /** A process that runs until the case ends. */
  client(name: string): TelemetryClient;
}

async function open({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const simulator = undo.use(await testSimulator({ consoleUrl: "http://127.0.0.1:8080" }));
  await page.goto(simulator.url);
  await page.getByText("Live", { exact: true }).waitFor();
  return {
    simulator,
    client(name) {
      const client = new TelemetryClient({
        host: "127.0.0.1",
        port: simulator.port,
        name,
        stopAtExit: false,
      });
      undo.use(client);
      client.start();
      return client;
    },
  };
}

const showList = (page: Page) => page.getByRole("link", { name: "List" }).click();
const rows = (page: Page) => page.locator(".client-row");
const recent = (page: Page) => page.locator(".recent-event");

/** Whether the canvas shows more than its background. */
function isPainted(page: Page): Promise<boolean> {
  return page.locator(".stage canvas").evaluate((canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const data =
      (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height).data;
    for (let i = 4; i < data.length; i += 4) {
      if (Math.abs(data[i]! - data[0]!) + Math.abs(data[i + 1]! - data[1]!) > 60) return true;
    }
    return false;
  });
}

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "says what to do while nothing has come, then shows who comes, does and leaves"(
    { page, simulator },
  ) {
    await showList(page);
    await page.getByText("No process has said anything yet").waitFor();
    const running = exampleProcess({
      id: "17",
      host: "127.0.0.1",
      port: simulator.port,
      intervalMs: 400,
    });
    await rows(page).filter({ hasText: "running" }).waitFor();
    await recent(page).filter({ hasText: "hello 17" }).first().waitFor();
    await running;
    await page.getByText("No process has said anything yet").waitFor();
    const kinds = await recent(page).locator("strong").allTextContents();
    assert.deepEqual(kinds, [
      "processStopped",
      "processingPerformed",
      "processingPerformed",
      "processingPerformed",
      "processStarted",
    ]);
    const title = await recent(page).first().locator("a").getAttribute("title");
    assert.match(
      title!,
      /^\{"event":"processStopped","traceId":"[^"]+","timeUnixNano":"\d{19}"\}$/,
    );
  },

  async "draws sprites, and a click on one shows it with its events and their JSON, digit for digit"(
    { page, simulator, complaints },
  ) {
    await using raw = await rawClient(simulator.port);
    const line =
      '{"traceId":"t1", "name":"Odd","event":"e","timeUnixNano":1795798574686000001,"odd":[1e400]}';
    await raw.send(`${line}\n`);
    await eventually("a sprite", async () => await isPainted(page) || undefined, 10_000);
    const box = (await page.locator(".stage canvas").boundingBox())!;
    await eventually("the detail", async () => {
      // A single sprite stands in the middle, a little below its field's name.
      await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2 + 28);
      return await page.locator(".detail").count() > 0 || undefined;
    }, 10_000);
    await page.locator(".detail").getByText("Odd").first().waitFor();
    assert.match(page.url(), /client=1/);
    await page.locator(".event-button").first().click();
    await page.locator(".raw-event pre").waitFor();
    await eventually(
      "the JSON",
      async () => await page.locator(".raw-event pre").textContent() === line || undefined,
      10_000,
    );
    assert.equal(
      await page.getByRole("link", { name: "Open in the console" }).first().getAttribute("href"),
      "http://127.0.0.1:8080/traces/t1",
    );
    await page.keyboard.press("Escape");
    assert.doesNotMatch(page.url(), /client=/);
    assert.deepEqual(complaints, []);
  },

  async "shows markup and script in names and words as text"({ page, client }) {
    const evil = '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>';
    const it = client(evil);
    it.event(evil);
    await showList(page);
    await rows(page).getByText(evil).first().waitFor();
    await recent(page).getByText("<img src=x").first().waitFor();
    await rows(page).first().click();
    await page.locator(".detail").getByText(evil.slice(0, 20)).first().waitFor();
    assert.equal(await page.evaluate(() => (globalThis as { hacked?: number }).hacked), undefined);
    assert.equal(await page.locator("main img, main script").count(), 0);
  },

  async "stands still while paused, goes on by steps, and then catches up"(
    { page, client, simulator },
  ) {
    const it = client("stepper");
    await recent(page).filter({ hasText: "processStarted" }).waitFor();
    await page.keyboard.press("p");
    await page.getByRole("button", { name: "Step", exact: true }).waitFor();
    // The server's own health comes each second too; nobody waits for it, and no step is spent on it.
    simulator.server.healthcheck();
    for (const word of ["first", "second", "third"]) it.event(word);
    await page.getByRole("button", { name: /Step \(3 wait\)/ }).waitFor();
    assert.equal(await recent(page).filter({ hasText: "first" }).count(), 0);
    await page.keyboard.press("s");
    await recent(page).filter({ hasText: "first" }).waitFor();
    assert.equal(await recent(page).filter({ hasText: "second" }).count(), 0);
    await page.keyboard.press("p");
    await recent(page).filter({ hasText: "third" }).waitFor();
  },

  async "follows one trace: drawn, listed in words in its order, stepped, scrubbed and played"(
    { page, simulator },
  ) {
    const begin = 1_795_798_574_686_000_000n;
    const span = (name: string, pid: number, endUs: number, more: Record<string, unknown>) =>
      eventLine("processingPerformed", {
        ...{ traceId: "shared", name, timeUnixNano: 0 },
        attributes: Object.entries({ pid, ...more }).map(([key, value]) => ({
          key,
          value: typeof value === "number" ? { value } : { stringValue: value },
        })),
      }).replace('"timeUnixNano":0', `"timeUnixNano":${begin + BigInt(endUs) * 1_000n}`);
    // As spans come: whoever ended first is first, and each says how long it took.
    const spans = [
      span("store", 3, 4_000, {
        spanId: "c",
        parentSpanId: "b",
        duration: 1_500_000,
        args: "INSERT",
      }),
      span("orb-server", 2, 5_000, {
        spanId: "b",
        parentSpanId: "a",
        duration: 3_800_000,
        args: "POST",
      }),
      span("orb", 17, 6_300, { spanId: "a", duration: 6_300_000, args: "sign up" }),
    ];
    await using connections = new AsyncDisposableStack();
    for (const line of [eventLine("alone"), ...spans]) {
      const raw = connections.use(await rawClient(simulator.port));
      await raw.send(line);
    }
    for (const word of ["INSERT", "POST", "sign up"]) {
      await recent(page).filter({ hasText: word }).waitFor();
    }
    await page.keyboard.press("]");
    const steps = page.locator(".trace-steps li");
    await steps.nth(2).waitFor();
    assert.match(page.url(), /trace=shared/);
    const words = [
      "0 ms, orb 17, sign up",
      "1.2 ms, orb 17 to orb-server 2, POST",
      "2.5 ms, orb-server 2 to store 3, INSERT",
    ];
    const plain = (texts: string[]) => texts.map((text) => text.replaceAll(/\s/g, " "));
    assert.deepEqual(plain(await steps.allTextContents()), words);
    const current = page.locator(".trace-steps [aria-current=step]");
    const scrubber = page.getByRole("slider", { name: "Place in the trace" });
    assert.match(
      (await scrubber.getAttribute("aria-valuetext"))!,
      /^0\sms of 2\.5\sms, × 1\/1,000$/,
    );

    await page.keyboard.press("ArrowRight");
    await current.filter({ hasText: "POST" }).waitFor();
    await page.locator(".trace-where", { hasText: /^1\.2\sms of/ }).waitFor();
    await page.keyboard.press("ArrowRight");
    await current.filter({ hasText: "INSERT" }).waitFor();
    await page.keyboard.press("ArrowLeft");
    await current.filter({ hasText: "POST" }).waitFor();
    await scrubber.fill("2.5");
    await current.filter({ hasText: "INSERT" }).waitFor();
    await scrubber.blur();
    await page.keyboard.press(" ");
    await current.filter({ hasText: "sign up" }).waitFor();
    await current.filter({ hasText: "INSERT" }).waitFor();

    assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 740 });
      await steps.first().waitFor();
      await scrubber.waitFor();
      await eventually("the stage's height", async () => {
        const { height } = (await page.locator(".stage").boundingBox())!;
        return (width === 360 ? height === 160 : height > 300) || undefined;
      }, 10_000);
    }
    await page.keyboard.press("Escape");
    await steps.first().waitFor({ state: "detached" });
    assert.doesNotMatch(page.url(), /trace=/);
  },

  async "finds clients and events by a word, and the address brings the search back"(
    { page, client, simulator },
  ) {
    client("needle").event("sews");
    client("hay").event("dries");
    await showList(page);
    await rows(page).nth(1).waitFor();
    await page.getByRole("searchbox").fill("needle");
    await eventually("one row", async () => await rows(page).count() === 1 || undefined, 10_000);
    assert.match(page.url(), /q=needle/);
    await page.goto(`${simulator.url}/?view=list&q=nothing-of-that-name`);
    await page.getByText("No client fits").waitFor();
  },

  async "says that the connection is lost, comes back by itself, and says that it did"(
    { page, simulator, client },
  ) {
    client("before");
    await recent(page).filter({ hasText: "processStarted" }).waitFor();
    const { port } = simulator;
    const webPort = Number(new URL(simulator.url).port);
    await simulator.stop();
    await page.getByText(/Reconnecting \(attempt \d+\)/).waitFor();
    await using again = await testSimulator({ port, webPort });
    await page.getByText("The server has been restarted").waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
    await using raw = await rawClient(again.port);
    await raw.send(eventLine("afterwards"));
    await recent(page).filter({ hasText: "afterwards" }).waitFor();
  },

  async "shows what was refused, with its reason"({ page, simulator }) {
    await using raw = await rawClient(simulator.port);
    await raw.send("this is no JSON\n");
    await page.getByText("lines refused: not-json").waitFor();
    await page.getByText("this is no JSON").waitFor();
  },

  async "marks faults and lost connections on the timeline, in words too"({ page, simulator }) {
    const raw = await rawClient(simulator.port);
    await raw.send(eventLine("processStarted") + eventLine("jobFailed"));
    await recent(page).filter({ hasText: "jobFailed" }).waitFor();
    raw.close();
    await page.locator(".timeline .hidden-text", { hasText: /faults: 1.*lost connections: 1/ })
      .waitFor({ state: "attached" });
  },

  async "plays a capture that was saved, and goes back to what is live"({ page, client }) {
    client("recorded").event("on tape");
    await recent(page).filter({ hasText: "on tape" }).waitFor();
    const download = page.waitForEvent("download");
    await page.getByRole("link", { name: "Save a capture" }).click();
    const path = await (await download).path();
    await page.getByLabel("A capture to play").setInputFiles(path);
    await page.getByText(/capture|ndjson/i).first().waitFor();
    await page.locator(".capture-name", { hasText: /: [1-9]\d* of [1-9]/ }).waitFor();
    await page.getByRole("button", { name: "Back to live" }).click();
    await page.getByRole("link", { name: "Save a capture" }).waitFor();
  },

  async "refuses a file that is no capture, in words"({ page }) {
    await page.getByLabel("A capture to play").setInputFiles({
      name: "notes.txt",
      mimeType: "text/plain",
      buffer: Buffer.from("hello"),
    });
    await page.getByText(/notes.txt cannot be played. This is no capture/).waitFor();
  },

  async "is usable by keyboard and screen reader, in light and dark, from 360 pixels"(
    { page, client },
  ) {
    for (const name of ["one", "two"]) client(name).event("works");
    await recent(page).first().waitFor();
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const view of ["Stage", "List"]) {
        await page.getByRole("link", { name: view, exact: true }).click();
        assert.deepEqual(
          await axeFindings(page, ["serious", "critical"]),
          [],
          `${view} ${colorScheme}`,
        );
      }
    }
    await page.keyboard.press(".");
    assert.match(page.url(), /client=1/);
    assert.deepEqual(await axeFindings(page, ["serious", "critical"]), [], "detail");
    await page.setViewportSize({ width: 360, height: 740 });
    await page.keyboard.press("t");
    await eventually(
      "no sideways scroll",
      async () =>
        await page.evaluate(() => document.documentElement.scrollWidth <= 360) || undefined,
      5_000,
    );
  },

  async "with reduced motion nothing flies and nothing sways"({ page, client }) {
    await page.emulateMedia({ reducedMotion: "reduce" });
    client("still");
    await recent(page).first().waitFor();
    await eventually("a sprite", async () => await isPainted(page) || undefined, 10_000);
    const picture = () =>
      page.locator(".stage canvas").evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
    await eventually("rest", async () => {
      const before = await picture();
      await page.waitForFunction(() =>
        new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))
      );
      return before === await picture() || undefined;
    }, 10_000);
  },
};

testPage("simulator page", { page: "simulator", open, cases });
