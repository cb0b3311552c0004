/**
 * The remembered theme: `light`, `dark`, or what the system says.
 *
 * @module
 */

/** What a person can choose. */
export type ThemeChoice = "system" | "light" | "dark";

const key = "orrery-theme";

/** The choice that this browser remembers. */
export function rememberedTheme(): ThemeChoice {
  try {
    const value = /(?:^|;\s*)orrery-theme=(\w+)/.exec(document.cookie)?.[1];
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    // A browser that forbids storage follows the system.
    return "system";
  }
}

/** Remembers and applies a choice. */
export function rememberTheme(choice: ThemeChoice): void {
  try {
    // A cookie is of the host, whatever the port: the theme is the same on all pages of a demo.
    const ageS = choice === "system" ? 0 : 365 * 86_400;
    document.cookie = `${key}=${choice}; Path=/; Max-Age=${ageS}; SameSite=Lax`;
  } catch {
    // Nothing to remember it in: it holds for this visit.
  }
  applyTheme(choice);
}

/** Applies what is remembered. */
export function applyRememberedTheme(): void {
  applyTheme(rememberedTheme());
}

function applyTheme(choice: ThemeChoice): void {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}
