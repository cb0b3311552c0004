/**
 * The theme switch, and the theme in force for what is drawn and not styled.
 *
 * @module
 */
import { effect, signal } from "@preact/signals";
import { Icon } from "./icon.tsx";
import { rememberedTheme, rememberTheme, type ThemeChoice } from "./theme_choice.ts";

const choice = signal<ThemeChoice>("system");

/** Grows whenever the colours in force change: read it to redraw. */
export const themeVersion = signal(0);

const words: Readonly<Record<ThemeChoice, { icon: "system" | "sun" | "moon"; label: string }>> = {
  system: { icon: "system", label: "as the system" },
  light: { icon: "sun", label: "light" },
  dark: { icon: "moon", label: "dark" },
};

/** Follows the system's theme and the choice of other tabs. */
export function startTheme(): void {
  choice.value = rememberedTheme();
  let first = true;
  effect(() => {
    const now = choice.value;
    if (!first) rememberTheme(now);
    first = false;
    themeVersion.value = themeVersion.peek() + 1;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    themeVersion.value++;
  });
  // What was chosen meanwhile in another tab or on another page.
  document.addEventListener("visibilitychange", () => choice.value = rememberedTheme());
}

/** Goes round: system, light, dark. */
export function ThemeSwitch() {
  const order: ThemeChoice[] = ["system", "light", "dark"];
  const now = choice.value;
  const next = order[(order.indexOf(now) + 1) % order.length]!;
  const title = `Theme: ${words[now].label}. Change to ${words[next].label}`;
  return (
    <button
      type="button"
      class="icon-button"
      title={title}
      aria-label={title}
      onClick={() => choice.value = next}
    >
      <Icon name={words[now].icon} />
    </button>
  );
}
