/**
 * For tests: what the Dockerfile says.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { root } from "./compose_file.ts";

/** The text of each build stage by its name. */
export async function dockerStages(): Promise<Map<string, string>> {
  const text = await Deno.readTextFile(join(root, "Dockerfile"));
  const stages = new Map<string, string>();
  for (const part of text.split(/^(?=FROM )/m)) {
    const name = /^FROM \S+ AS (\S+)/.exec(part)?.[1];
    if (name) stages.set(name, part);
  }
  return stages;
}

/** The stages that are a program's image. */
export async function programStages(): Promise<Map<string, string>> {
  const stages = [...await dockerStages()].filter(([, text]) => text.startsWith("FROM program AS"));
  assert.ok(stages.length > 0);
  return new Map(stages);
}

/** The words of an instruction in JSON form, or none when the stage lacks it. */
export function jsonInstruction(stage: string, instruction: string): string[] {
  const found = new RegExp(`^${instruction} (\\[[^\\]]*\\])`, "m").exec(stage);
  return found ? JSON.parse(found[1]!.replaceAll("\\\n", "\n")) as string[] : [];
}

/** The variables that it sets, ENV by ENV. */
export function variables(stage: string): Record<string, string> {
  const instructions = stage.matchAll(/^ENV ((?:.*\\\n)*.*)$/gm);
  return Object.fromEntries(
    [...instructions].flatMap(([, words]) =>
      words!.replaceAll("\\\n", " ").trim().split(/\s+/).map((word) => {
        const at = word.indexOf("=");
        return [word.slice(0, at), word.slice(at + 1)];
      })
    ),
  );
}

/** The words of its ENTRYPOINT. */
export function entrypoint(stage: string): string[] {
  return jsonInstruction(stage, "ENTRYPOINT");
}
