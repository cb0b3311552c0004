/**
 * What compose.yaml says.
 *
 * @module
 */
import { join } from "node:path";
import { CORE_SCHEMA, load as parseYaml, mergeTag } from "js-yaml";

/** The project's root. */
export const root = join(import.meta.dirname!, "..");

/** compose.yaml, as far as it is asked for. */
export interface ComposeFile {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
}

/** A service of compose.yaml. */
export interface ComposeService {
  image?: string;
  build?: { context: string; target: string };
  profiles?: string[];
  command?: string[];
  environment?: Record<string, string | null>;
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test?: string[]; start_interval?: string };
  logging: { options: Record<string, string> };
  deploy: { resources: { limits: { cpus: string; memory: string } } };
}

/** Reads compose.yaml, its anchors resolved and its variables as they stand. */
export async function compose(): Promise<ComposeFile> {
  const text = await Deno.readTextFile(join(root, "compose.yaml"));
  return parseYaml(text, { schema: CORE_SCHEMA.withTags(mergeTag) }) as ComposeFile;
}
