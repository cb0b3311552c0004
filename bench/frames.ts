/**
 * For the benchmarks of pages: how smooth one is.
 *
 * @module
 */
import type { Page } from "playwright-core";

/** Frames a second, counted by the page itself. */
export function framesPerSecond(page: Page, seconds: number): Promise<number> {
  return page.evaluate((durationMs) =>
    new Promise<number>((resolve) => {
      let frames = 0;
      const startMs = performance.now();
      const frame = () => {
        frames++;
        const elapsedMs = performance.now() - startMs;
        if (elapsedMs > durationMs) resolve(frames / elapsedMs * 1_000);
        else requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    }), seconds * 1_000);
}
