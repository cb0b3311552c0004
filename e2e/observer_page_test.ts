/**
 * The observer's page in a real browser, against the real observer and the stand-in image service.
 *
 * @module
 */
import assert from "node:assert/strict";
import { trace } from "@opentelemetry/api";
import type { Page } from "playwright-core";
import { serveGrpc } from "../observer/grpc/grpc_server.ts";
import { ImageService } from "../observer/proto/gen/cri_images_pb.ts";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { listen } from "./live_regions.ts";
import { type ReadyProgram, startReadyProgram } from "../service/testing/program.ts";

/** An observer of its own, which watches a store of its own. */
interface Fixture {
  images: ReadyProgram;
  observer: ReadyProgram;
}

async function open({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const images = undo.use(await startImages());
  const observer = undo.use(await startObserver("--timeout", "2s", ...endpoints(images)));
  await page.goto(observer.fields.page!);
  return { images, observer };
}

function startObserver(...args: string[]): Promise<ReadyProgram> {
  return startReadyProgram("observer/observer.ts", ["--metrics-address", "127.0.0.1:0", ...args]);
}

function endpoints({ fields: { cri, rkt } }: ReadyProgram): string[] {
  return ["--endpoint", `cri=${cri}`, "--endpoint", `rkt=${rkt}`];
}

/** A store that changes often, so that an observation a moment later sees something else. */
function startImages(...args: string[]): Promise<ReadyProgram> {
  return startReadyProgram("observer/image_service.ts", [
    ...["--rkt-port", "0", "--cri-port", "0", "--change-interval-ms", "50"],
    ...args,
  ]);
}

const observeNow = (page: Page) => page.getByRole("button", { name: "Observe now" }).click();
const row = (page: Page, name: string) => page.locator(".image-row", { hasText: name });

/** The number of images that the shown store's tab shows. */
async function shownCount(page: Page): Promise<number> {
  const text = await page.locator(".store-tabs [aria-current] b").textContent();
  return Number(text!.replaceAll(",", ""));
}

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "before the first observation it says how to make one, and the button makes it"(
    { observer, page },
  ) {
    await page.getByText("Not observed yet").waitFor();
    await page.getByText(`kill -s SIGQUIT ${observer.pid}`).waitFor();
    await observeNow(page);
    await page.getByText("Observed 2 stores").waitFor();
    await page.getByText("This was the first observation").waitFor();
    await row(page, "example.com/pause:3.10").waitFor();
    assert.match(await row(page, "pause:3.10").innerText(), /pinned[\s\S]*300\skB[\s\S]*≥/);
    await page.locator(".tag", { hasText: "simulated" }).waitFor();
  },

  async "SIGQUIT shows on the page by itself, with what came and went"({ observer, page }) {
    await observeNow(page);
    await page.getByText("This was the first observation").waitFor();
    // The store changes every 50 ms: what is seen in a moment, a later observation sees otherwise.
    await page.waitForFunction(async () => {
      await fetch("/observe", { method: "POST" });
      return document.querySelector(".changes li") !== null;
    });
    const text = await page.locator(".changes").innerText();
    assert.match(text, /^(added|removed|\+|−)/m);
    Deno.kill(observer.pid, "SIGQUIT");
    await page.getByText("the last by signal took").waitFor();
  },

  async "what is observed again and again is said when it changes, and else not a word"({ page }) {
    const images = ["--rkt-port", "0", "--cri-port", "0", "--change-interval-ms"];
    await using still = await startReadyProgram("observer/image_service.ts", [...images, "0"]);
    await using quiet = await startObserver("--interval", "500ms", ...endpoints(still));
    await page.goto(quiet.fields.page!);
    const observed = (count: number) =>
      page.waitForFunction((count) => {
        const text = document.querySelector("main")!.textContent!;
        return Number(/([\d,]+) observations/.exec(text)?.[1]) >= count;
      }, count);
    await observed(2);
    const said = await listen(page);
    await observed(6);
    assert.deepEqual(await said(), []);
    await still.stop({ force: true });
    await page.getByText("Stale, what is shown was seen").waitFor();
    await observed(10);
    // Why it cannot be read is said, but not again with each second and each try.
    const sentences = await said();
    assert.ok(sentences.length >= 1 && sentences.length <= 2, sentences.join("\n"));
  },

  async "an image opens beside the list, its address brings it back, Escape closes it"({ page }) {
    await observeNow(page);
    await row(page, "pause:3.10").click();
    const detail = page.getByRole("complementary", { name: "Image" });
    await detail.getByText("example.com/pause@sha256:").waitFor();
    await detail.getByText("(300,000 bytes)").waitFor();
    await page.reload();
    await detail.getByText("(300,000 bytes)").waitFor();
    await page.keyboard.press("Escape");
    await detail.waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).search, "");
  },

  async "images are searched and sorted, and both are in the address"({ page }) {
    await observeNow(page);
    await row(page, "pause:3.10").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("pause:3.10");
    await page.waitForURL("**/?q=pause%3A3.10");
    await page.waitForFunction(() => document.querySelectorAll(".image-row").length === 1);
    await page.getByRole("button", { name: "Size" }).click();
    await page.waitForURL("**/?q=pause%3A3.10&sort=size");
    await page.getByRole("searchbox").fill("nothing is called this");
    await page.getByText("No image fits").waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".image-row").length > 3);
    const sizes = await page.locator(".image-size").allInnerTexts();
    const bytes = sizes.map((size) => {
      const [figure, unit] = size.split(/\s/);
      return Number(figure) * { kB: 1e3, MB: 1e6 }[unit as "kB" | "MB"]!;
    });
    assert.deepEqual(bytes, bytes.toSorted((a, b) => b - a));
  },

  async "a store that goes is shown as stale with the reason, and its last values stay"(
    { images, page },
  ) {
    await observeNow(page);
    await row(page, "pause:3.10").waitFor();
    const before = await shownCount(page);
    await images.stop({ force: true });
    await page.getByText(/Stale, what is shown was seen/).waitFor();
    await observeNow(page);
    await page.getByText("2 of 2 stores could not be read").waitFor();
    await page.getByRole("alert").getByText(/nothing listens there/).waitFor();
    assert.equal(await shownCount(page), before);
    await page.locator(".store-tabs").getByRole("img", { name: "stale" }).first().waitFor();
  },

  async "an observer that stands still is no live one; what it was asked says how long, and is cancelled"(
    { observer, page },
  ) {
    await observeNow(page);
    await row(page, "pause:3.10").waitFor();
    await page.locator(".pill-live").waitFor();
    observer.kill("SIGSTOP");
    try {
      await observeNow(page);
      await Promise.all([
        page.getByText(/Observing: [1-9]\d*\.\d s of at most 60 s/).waitFor(),
        page.getByText(/^No data for \d+ s$/).waitFor(),
      ]);
      await page.getByRole("button", { name: "Cancel: the observation" }).click();
      await page.getByText("Not waited for").waitFor();
    } finally {
      observer.kill("SIGCONT");
    }
    await page.locator(".pill-live").waitFor();
    await row(page, "pause:3.10").waitFor();
  },

  async "the observer's end is shown, and its last values stay"({ observer, page }) {
    await observeNow(page);
    await row(page, "pause:3.10").waitFor();
    await observer.stop({ force: true });
    await page.getByText("The observer does not answer").waitFor();
    assert.ok(await row(page, "pause:3.10").isVisible());
  },

  async "paused it stands still, and goes on where the stores are now"({ page }) {
    await observeNow(page);
    await page.getByText("1 observation;").waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.waitForURL("**/?paused=1");
    await observeNow(page);
    await page.getByText("Observed 2 stores").waitFor();
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
    assert.ok(await page.getByText("1 observation;").isVisible());
    await page.keyboard.press("p");
    await page.getByText("2 observations;").waitFor();
  },

  async "20,000 images are scrolled through with few rows in the document"({ page }) {
    await using large = await startImages("--images", "20000");
    await using observer = await startObserver("--endpoint", `cri=${large.fields.cri}`);
    await page.goto(observer.fields.page!);
    await observeNow(page);
    await row(page, "backup").first().waitFor();
    const list = page.locator(".virtual-list");
    await list.locator(".image-row").first().focus();
    const total = await shownCount(page);
    await page.waitForFunction((total) => {
      const list = document.querySelector(".virtual-list")!;
      list.scrollTop = list.scrollHeight;
      return document.querySelector(`.virtual-rows li[aria-posinset="${total}"]`) !== null;
    }, total);
    assert.ok(await page.locator(".image-row").count() < 100);
  },

  async "names of images are text, whatever they hold"({ page }) {
    const hostile = `<img src=x onerror="document.body.remove()">`;
    const server = await serveGrpc({
      address: { host: "127.0.0.1", port: 0 },
      tracer: trace.getTracer("test"),
      routes: (router) =>
        router.service(ImageService, {
          listImages: () => ({ images: [{ id: hostile, repoTags: [hostile] }] }),
        }),
    });
    try {
      await using observer = await startObserver("--endpoint", `cri=${server.address}`);
      await page.goto(observer.fields.page!);
      await observeNow(page);
      await row(page, hostile).click();
      await page.getByRole("complementary", { name: "Image" }).getByText(hostile).first().waitFor();
      assert.equal(await page.locator("img").count(), 0);
    } finally {
      await server.stop(AbortSignal.abort());
    }
  },

  async "nothing serious for those who cannot see or point, light and dark, wide and narrow"(
    { page, browser },
  ) {
    await observeNow(page);
    await row(page, "pause:3.10").waitFor();
    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [1280, 360]) {
        const context = await browser.newContext({
          colorScheme,
          viewport: { width, height: 800 },
          reducedMotion: "reduce",
        });
        try {
          const own = await context.newPage();
          for (const search of ["", "?image=none"]) {
            await own.goto(`${new URL(page.url()).origin}/${search}`);
            await own.locator(".store-tabs").waitFor();
            const found = await axeFindings(own, ["serious", "critical"]);
            assert.deepEqual(found, [], `${colorScheme} ${width} ${search}`);
            const overflow = await own.evaluate(() =>
              document.documentElement.scrollWidth - innerWidth
            );
            assert.ok(overflow <= 0, `${overflow} pixels too wide at ${width}`);
          }
        } finally {
          await context.close();
        }
      }
    }
  },
};

testPage("observer page", { page: "observer", open, cases });
