/**
 * For tests of what runs in pages: a browser whose time is a virtual world's and whose page is seen
 * or not.
 *
 * @module
 */
import type { TimerId } from "../world/world.ts";
import type { VirtualWorld } from "../world/virtual_world.ts";

/** What of a browser the kit's parts take as their `platform`. */
export function virtualPlatform(world: VirtualWorld) {
  let visible = true;
  const listeners: (() => void)[] = [];
  return {
    setTimer: (run: () => void, ms: number): unknown => world.setTimeout(run, ms),
    clearTimer: (timer: unknown) => world.clearTimeout(timer as TimerId),
    now: () => world.nowMs(),
    random: () => world.random(),
    isVisible: () => visible,
    onVisibility: (listen: () => void) => void listeners.push(listen),
    /** Shows or hides the page. */
    see(isVisible: boolean): void {
      visible = isVisible;
      for (const listen of listeners) listen();
    },
  };
}
