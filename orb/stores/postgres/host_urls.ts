/**
 * The hosts that a database's URL names.
 *
 * @module
 */

/**
 * The URL of each host of `postgres://user:password@host:port,host:port/database`.
 *
 * @returns none where it is no such URL
 */
export function hostUrls(databaseUrl: string): string[] {
  const [, before, hosts, after] =
    /^(postgres(?:ql)?:\/\/[^@/?#]+@)([^/?#@]+)([/?#].*)?$/.exec(databaseUrl) ?? [];
  if (hosts === undefined) return [];
  const urls = hosts.split(",").map((host) => `${before}${host}${after ?? ""}`);
  return urls.every((url) => (URL.parse(url)?.hostname ?? "") !== "") ? urls : [];
}
