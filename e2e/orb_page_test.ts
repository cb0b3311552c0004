/**
 * The orb server's page in a real browser, against the real server: orbs report and sign up by its
 * API, as a device does.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { ulid } from "ulid";
import { irisImage } from "../orb/iris_image.ts";
import { smallPng } from "../orb/test_small_png.ts";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type ReadyProgram, startReadyProgram } from "../service/testing/program.ts";

interface Fixture {
  orb: OrbServer;
}

/** A server of its own, with what a device does to it. */
class OrbServer {
  constructor(readonly program: ReadyProgram, readonly folder: string) {}

  get url(): string {
    return this.program.fields.url!;
  }

  async report(id: string, status: object = {}): Promise<{ commands: { id: string }[] }> {
    const body = { timestamp: "2026-11-29T12:00:00Z", status_interval_sec: 600, ...status };
    const response = await fetch(`${this.url}/v2/orbs/${id}/status`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200);
    return await response.json();
  }

  /** Hands an image in; returns the signup's id. */
  async signUp(orbId: string, image: Uint8Array<ArrayBuffer>, type = "image/png"): Promise<string> {
    const id = ulid();
    const response = await fetch(`${this.url}/v2/signups/${id}`, {
      method: "PUT",
      headers: { "content-type": type, "orb-id": orbId, "prefer": "wait=10" },
      body: image,
    });
    assert.equal(response.status, 202);
    await response.body?.cancel();
    return id;
  }
}

async function startOrb(folder: string, ...args: string[]): Promise<OrbServer> {
  const all = ["--orb-api-port", "0", "--data-dir", folder, "--device-rate", "1000", ...args];
  return new OrbServer(await startReadyProgram("orb/server.ts", all), folder);
}

async function open({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const folder = await Deno.makeTempDir();
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  const orb = await startOrb(folder);
  undo.use(orb.program);
  await page.goto(orb.url);
  return { orb };
}

/** A small image, another one for another seed. */
const image = (seed: number) => irisImage(seed) as Uint8Array<ArrayBuffer>;

const detail = (page: Page, name: string) => page.getByRole("complementary", { name });

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "without an orb it says how to start one; orbs appear as they report, and live"(
    { orb, page },
  ) {
    await page.getByText("No orb has reported yet").waitFor();
    await page.getByText("deno task orb:client --orb-server").waitFor();
    await orb.report("orb-1");
    await page.getByRole("heading", { name: /^1 orb/ }).waitFor();
    await orb.report("orb-2", {
      hardware_states: { lens: { status: "failure", message: "stuck" } },
    });
    const card = page.locator(".card", { hasText: "orb-2" });
    await card.getByText("error", { exact: true }).waitFor();
    await page.getByText("has an error: lens: stuck").waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
  },

  async "an orb that stops reporting is silent, and n leads to it"({ orb, page }) {
    await orb.report("orb-1");
    await orb.report("orb-2", { status_interval_sec: .3 });
    await page.locator(".card", { hasText: "orb-2" }).getByText("silent").waitFor();
    await page.getByText(/orb-2\s+has been silent for/).waitFor();
    await page.keyboard.press("n");
    await page.waitForURL("**/?orb=orb-2");
    await detail(page, "Orb").getByText(/no report for \d+ s/).waitFor();
    await page.keyboard.press("Escape");
    await detail(page, "Orb").waitFor({ state: "detached" });
  },

  async "an orb shows its report and its irises, with why one was refused"({ orb, page }) {
    const first = await orb.signUp("orb-7", image(1));
    await orb.signUp("orb-7", image(1));
    await orb.signUp("orb-7", new Uint8Array(image(2).slice(0, 2_000)));
    await orb.report("orb-7", {
      battery: { level: 81.5, isCharging: true },
      temperature: { liquid_lens: 31.5 },
      ssd: { space_left: 42e9, signup_left_to_upload: 4 },
      version: { current_release: "6.1.0" },
    });
    await page.goto(`${orb.url}/?orb=orb-7`);
    const panel = detail(page, "Orb");
    for (const text of ["81.5 %, charging", "31.5 °C", "42 GB", "6.1.0", "accepted", "rejected"]) {
      await panel.getByText(text).first().waitFor();
    }
    assert.equal(await panel.locator("dt", { hasText: "Left to upload" }).count(), 1);
    // The page fetches images by itself; one that is no image is not drawn.
    await panel.locator(`img[alt="Image of ${first}"]`).waitFor();
    const size = await panel.locator("img").first().evaluate((one: HTMLImageElement) =>
      one.decode().then(() => one.naturalWidth, () => 0)
    );
    assert.ok(size === 628 || size === 0);
    await panel.getByText(`the same image as ${first}`).click();
    await page.waitForURL("**/queue?**");
    await detail(page, "Signup").getByRole("link", { name: first }).waitFor();
  },

  async "a command reaches the orb with its next report, and what came of it is shown"(
    { orb, page },
  ) {
    await orb.report("orb-1");
    await page.goto(`${orb.url}/?orb=orb-1`);
    const panel = detail(page, "Orb");
    await panel.getByRole("button", { name: "Sign up now" }).click();
    await page.getByText("orb-1 signs up with its next report").waitFor();
    await panel.getByText(/pending/).waitFor();
    const { commands } = await orb.report("orb-1");
    assert.equal(commands.length, 1);
    await panel.getByText(/delivered/).waitFor();
    const command_results = commands.map(({ id }) => ({ id, outcome: "failed", detail: "no eye" }));
    await orb.report("orb-1", { command_results });
    await panel.getByText(/failed: no eye/).waitFor();
    await panel.getByLabel("Seconds between signups").fill("7");
    await panel.getByRole("button", { name: "Set", exact: true }).click();
    await panel.getByText("a signup every 7 s").waitFor();
  },

  async "a dead letter says why, and its button queues it again"({ orb, page, complaints }) {
    await orb.program.stop();
    await using idle = (await startOrb(orb.folder, "--signup-workers", "0")).program;
    const stopped = new OrbServer(idle, orb.folder);
    const handedIn = Array.from(
      { length: 2 },
      (_, seed) =>
        fetch(`${stopped.url}/v2/signups/${ulid()}`, {
          method: "PUT",
          headers: { "content-type": "image/png", "orb-id": "orb-7" },
          // What has to be examined waits for a worker; other bytes are decided as they arrive.
          body: smallPng({ comment: `image ${seed}` }),
        }).then((response) => response.body?.cancel()),
    );
    await Promise.all(handedIn);
    await idle.stop();
    const kept = await removeImages(orb.folder);

    const again = await startOrb(orb.folder);
    await using _ = again.program;
    await page.goto(`${again.url}/queue`);
    await page.getByRole("link", { name: "Queue (2 dead)" }).waitFor();
    await page.getByRole("button", { name: "Requeue all 2" }).waitFor();
    const row = page.locator(".signup-row").first();
    await row.locator(".signup-reason").getByText(/./).waitFor();
    // With its image back, it is decided at the second chance.
    await kept.restore();
    await row.getByRole("button", { name: /Queue .* again/ }).click();
    await page.getByText(/is queued again/).waitFor();
    await page.getByRole("link", { name: "Queue (1 dead)" }).waitFor();
    await page.getByRole("button", { name: "1 accepted" }).click();
    await page.locator(".signup-row").getByText("accepted").waitFor();
    complaints.length = 0;
  },

  async "2,000 orbs are drawn, walked through by keys, and listed with few rows"({ orb, page }) {
    await report2000(orb);
    await page.goto(orb.url);
    await page.getByRole("heading", { name: /^2,000 orbs/ }).waitFor();
    await page.locator(".grid canvas").waitFor();
    const grid = page.getByRole("listbox", { name: "Orbs" });
    await grid.focus();
    await page.keyboard.press("ArrowRight");
    await page.locator(".grid-cursor-text").getByText(/^orb-2:/).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\?orb=orb-\d+$/);
    await detail(page, "Orb").getByText("Last report").waitFor();
    await page.keyboard.press("Escape");
    await detail(page, "Orb").waitFor({ state: "detached" });
    await page.keyboard.press("t");
    await page.waitForURL("**/?list=1");
    await page.locator(".orb-row").first().waitFor();
    assert.ok(await page.locator(".orb-row").count() < 100);
    await page.keyboard.press("/");
    await page.keyboard.type("orb-1999");
    await page.waitForFunction(() => document.querySelectorAll(".orb-row").length === 1);
    await page.goto(`${orb.url}/?state=silent`);
    await page.getByText("No orb fits").waitFor();
  },

  async "paused it stands still, and catches up"({ orb, page }) {
    await orb.report("orb-1");
    await page.getByRole("heading", { name: /^1 orb/ }).waitFor();
    await page.keyboard.press("p");
    await page.waitForURL("**/?paused=1");
    await orb.report("orb-2");
    // The stream has told of it once the page is asked to go on.
    await eventually("both orbs", async () => {
      const { orbs } = await (await fetch(`${orb.url}/v2/orbs`)).json();
      return orbs.length === 2 ? orbs : undefined;
    });
    assert.equal(await page.locator(".card").count(), 1);
    await page.keyboard.press("p");
    await page.getByRole("heading", { name: /^2 orbs/ }).waitFor();
  },

  async "the server's end is shown, and what was known stays"({ orb, page }) {
    await orb.report("orb-1");
    await page.locator(".card", { hasText: "orb-1" }).waitFor();
    await orb.program.stop({ force: true });
    await page.getByText("The orb server does not answer").waitFor();
    assert.ok(await page.locator(".card", { hasText: "orb-1" }).isVisible());
  },

  async "what orbs say is text, whatever they hold"({ orb, page }) {
    const hostile = `<img src=x onerror="document.body.remove()">`;
    await orb.report("orb-1", {
      version: { current_release: hostile },
      hardware_states: { [hostile]: { status: "failure", message: hostile } },
    });
    await page.goto(`${orb.url}/?orb=orb-1`);
    await detail(page, "Orb").getByText(hostile).first().waitFor();
    assert.equal(await page.locator("img").count(), 0);
  },

  async "nothing serious for those who cannot see or point, light and dark, wide and narrow"(
    { orb, page, browser },
  ) {
    await orb.report("orb-1");
    await orb.report("orb-2", {
      hardware_states: { lens: { status: "failure", message: "stuck" } },
    });
    const signup = await orb.signUp("orb-1", image(3));
    await orb.signUp("orb-1", Uint8Array.of(1, 2), "application/octet-stream");
    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [1280, 360]) {
        const context = await browser.newContext({
          colorScheme,
          viewport: { width, height: 800 },
          reducedMotion: "reduce",
        });
        try {
          const own = await context.newPage();
          const views = ["/", "/?list=1", "/?orb=orb-1", "/queue?state=all"];
          for (const view of [...views, `/queue?state=all&signup=${signup}`]) {
            await own.goto(`${orb.url}${view}`);
            await own.locator(".fleet, .queue, .detail .facts").first().waitFor({
              state: "attached",
            });
            // A list and a detail may load at once.
            await own.waitForFunction(() => document.querySelector(".state-loading") === null);
            const found = await axeFindings(own, ["serious", "critical"]);
            assert.deepEqual(found, [], `${colorScheme} ${width} ${view}`);
            const overflow = await own.evaluate(() =>
              document.documentElement.scrollWidth - innerWidth
            );
            assert.ok(overflow <= 0, `${overflow} pixels too wide at ${width} ${view}`);
          }
        } finally {
          await context.close();
        }
      }
    }
    assert.ok(page.url().startsWith(orb.url));
  },
};

/** Takes the stored images away, and can bring them back. */
async function removeImages(folder: string): Promise<{ restore(): Promise<void> }> {
  const from = join(folder, "segments");
  const aside = join(folder, "aside");
  await Deno.rename(from, aside);
  await Deno.mkdir(from);
  return {
    async restore() {
      await Deno.remove(from, { recursive: true });
      await Deno.rename(aside, from);
    },
  };
}

async function report2000(orb: OrbServer): Promise<void> {
  for (let first = 1; first <= 2_000; first += 100) {
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => orb.report(`orb-${first + index}`)),
    );
  }
}

testPage("orb page", { page: "orb", open, cases });
