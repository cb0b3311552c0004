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
    const value = localStorage.getItem(key);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    // A browser that forbids storage follows the system.
    return "system";
  }
}

/** Remembers and applies a choice. */
export function rememberTheme(choice: ThemeChoice): void {
  try {
    if (choice === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, choice);
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
