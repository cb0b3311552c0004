/**
 * The colours of the stage, as the stylesheet has them in force.
 *
 * @module
 */

/** What the stylesheet has in force. */
export interface StageColors {
  readonly text: string;
  readonly quiet: string;
  readonly rule: string;
  readonly error: string;
  readonly accent: string;
  readonly background: string;
  readonly raised: string;
  readonly services: readonly string[];
}

/** The colours that the stylesheet has in force. */
export function readColors(element: Element): StageColors {
  const probe = document.createElement("span");
  element.append(probe);
  const value = (name: string) => {
    // A variable may be `light-dark(…)`: only a property that uses it has the colour in force.
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = {
    text: value("--text"),
    quiet: value("--text-2"),
    rule: value("--rule"),
    error: value("--error"),
    accent: value("--accent"),
    background: value("--bg"),
    raised: value("--raised"),
    services: Array.from({ length: 7 }, (_, i) => value(`--service-${i}`)),
  };
  probe.remove();
  return colors;
}
