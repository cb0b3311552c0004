/**
 * For tests: what a page says to who cannot see it.
 *
 * @module
 */
import type { Page } from "playwright-core";

/**
 * Listens to a page's live regions from now on; gives what they have said so far.
 *
 * @example
 * ```ts
 * const said = await listen(page);
 * await page.keyboard.press("p");
 * assert.deepEqual(await said(), ["Paused"]);
 * ```
 */
export async function listen(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const live = '[role="status"], [role="alert"], [role="log"], [aria-live]';
    const said: string[] = [];
    Object.assign(globalThis, { said });
    const regionOf = (node: Node) =>
      (node instanceof Element ? node : node.parentElement)?.closest(live);
    new MutationObserver((mutations) => {
      const spoken = new Set<Element>();
      for (const { target, addedNodes } of mutations) {
        const region = regionOf(target);
        if (region) spoken.add(region);
        // A region that comes with its text: an alert is said then, too.
        for (const node of addedNodes) {
          if (!(node instanceof Element)) continue;
          if (node.matches('[role="alert"]')) spoken.add(node);
          for (const one of node.querySelectorAll('[role="alert"]')) spoken.add(one);
        }
      }
      for (const region of spoken) {
        if (region.getAttribute("aria-live") === "off" || !region.isConnected) continue;
        const text = region.textContent.trim();
        if (text !== "") said.push(text);
      }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  return () => page.evaluate(() => (globalThis as unknown as { said: string[] }).said);
}
