import settings from "../deno.json" with { type: "json" };

/** The version of every program, from `deno.json`. */
export const version: string = settings.version;
