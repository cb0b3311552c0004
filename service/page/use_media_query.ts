/**
 * A media query for what a stylesheet cannot decide, such as the height of a virtual list's rows.
 *
 * @module
 */
import { useEffect, useState } from "preact/hooks";

/**
 * Whether the query holds now.
 *
 * @example
 * ```ts
 * const narrow = useMediaQuery("(max-width: 40rem)");
 * ```
 */
export function useMediaQuery(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const follow = () => setHolds(list.matches);
    follow();
    list.addEventListener("change", follow);
    return () => list.removeEventListener("change", follow);
  }, [query]);
  return holds;
}
