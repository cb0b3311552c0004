/**
 * For tests: what compose.yaml and the Dockerfile say.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { CORE_SCHEMA, load as parseYaml, mergeTag } from "js-yaml";

/** The project's root. */
export const root = join(import.meta.dirname!, "..");

/** compose.yaml, as far as tests ask for it. */
export interface ComposeFile {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
}

/** A service of compose.yaml. */
export interface ComposeService {
  image?: string;
  build?: { context: string; target: string };
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: unknown;
  logging: { options: Record<string, string> };
  deploy: { resources: { limits: { cpus: string; memory: string } } };
}

/** compose.yaml. */
export async function compose(): Promise<ComposeFile> {
  const text = await Deno.readTextFile(join(root, "compose.yaml"));
  return parseYaml(text, { schema: CORE_SCHEMA.withTags(mergeTag) }) as ComposeFile;
}

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

/** The words of its ENTRYPOINT. */
export function entrypoint(stage: string): string[] {
  return jsonInstruction(stage, "ENTRYPOINT");
}
