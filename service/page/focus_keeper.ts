/**
 * Where the focus goes when what had it is gone: to what is nearest to it, never to the page's beginning.
 *
 * @module
 */

const reachable =
  "a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), [tabindex]";

/**
 * Watches a page: when the element that has the focus is taken out of the document or made unable to
 * have it, the nearest thing around it that can have it gets it, unless what closed it has chosen
 * another place.
 *
 * @returns stops it
 *
 * @example
 * ```ts
 * useEffect(() => keepFocus(main.current!), []);
 * ```
 */
export function keepFocus(main: HTMLElement): () => void {
  let last: HTMLElement | undefined;
  let around: Element[] = [];

  function remember(event: FocusEvent) {
    if (!(event.target instanceof HTMLElement)) return;
    last = event.target;
    around = [];
    for (let at = last.parentElement; at !== null; at = at.parentElement) around.push(at);
  }
  function forget(event: PointerEvent) {
    // A click beside everything is meant to leave.
    if (event.target instanceof Element && event.target.closest(reachable) === null) {
      last = undefined;
    }
  }
  function restore() {
    if (last === undefined) return;
    const lost = !last.isConnected || last.matches(":disabled");
    const active = document.activeElement;
    if (!lost || active !== null && active !== document.body && active !== last) return;
    const target = placeFor(around, last, main);
    last = undefined;
    target.focus({ preventScroll: true });
  }

  // Later than what closes something and says itself where the focus goes: it is said once.
  let timer: ReturnType<typeof setTimeout> | undefined;
  const observer = new MutationObserver(() => {
    if (last === undefined || last.isConnected && !last.matches(":disabled")) return;
    clearTimeout(timer);
    timer = setTimeout(restore);
  });
  document.addEventListener("focusin", remember);
  document.addEventListener("pointerdown", forget);
  observer.observe(document.body, {
    childList: true,
    subtree: true,
    attributeFilter: ["disabled"],
  });
  return () => {
    observer.disconnect();
    clearTimeout(timer);
    document.removeEventListener("focusin", remember);
    document.removeEventListener("pointerdown", forget);
  };
}

/** The first thing that can have the focus in the smallest part of the page that is left; else the view itself. */
function placeFor(around: readonly Element[], gone: HTMLElement, main: HTMLElement): HTMLElement {
  for (const part of around) {
    if (!part.isConnected || !main.contains(part) || part === main) continue;
    const found = [...part.querySelectorAll<HTMLElement>(reachable)]
      .find((one) => one !== gone && one.getClientRects().length > 0);
    if (found) return found;
  }
  return main;
}
