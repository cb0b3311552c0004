import type { Target, Trust } from "./links.ts";
export function discover(
  _w: string,
  _o: { trust: Trust; connectTimeoutMs?: number | undefined },
): Promise<Target[]> {
  throw new Error("x");
}
