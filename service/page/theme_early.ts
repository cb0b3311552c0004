/**
 * Runs before anything is painted, so that a remembered theme never flashes in the other one.
 *
 * @module
 */
import { applyRememberedTheme } from "./theme_choice.ts";

applyRememberedTheme();
