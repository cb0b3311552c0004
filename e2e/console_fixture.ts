/**
 * For tests of the console's page: a console of its own, and what is on the page.
 *
 * @module
 */
import type { Page } from "playwright-core";
import type { Tab } from "../service/testing/browser.ts";
import { type ReadyProgram, startReadyProgram } from "../service/testing/program.ts";

/** A console of its own. */
export interface Fixture {
  console: ReadyProgram;
}

/** Starts it; each case loads the page when there is what it is to show. */
export async function open(_: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  return { console: undo.use(await startConsole()) };
}

/** Starts a console, on free ports unless they are given. */
export function startConsole(
  ports = { otlp: "0", page: "0" },
  args: readonly string[] = [],
): Promise<ReadyProgram> {
  return startReadyProgram("console/server.ts", [
    ...["--otlp-port", ports.otlp, "--page-port", ports.page, ...args],
  ]);
}

/** The row of a trace, by its root's whole name. */
export function row(page: Page, name: string) {
  return page.locator(".trace-row").filter({
    has: page.locator(".trace-name").getByText(name, { exact: true }),
  });
}

/** Waits until so many rows are shown. */
export async function rows(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    (count) => document.querySelectorAll(".trace-row").length === count,
    count,
  );
}

/** The names of the traces that are shown, from the top. */
export async function names(page: Page): Promise<string[]> {
  return await page.locator(".trace-name").allInnerTexts();
}
