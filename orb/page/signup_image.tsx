/**
 * The image of a signup. It is fetched by the page, not by an `<img>`, which could show no token.
 *
 * @module
 */
import { useEffect, useState } from "preact/hooks";
import { authorization } from "../../service/page/bearer.ts";

type Loaded = { readonly url: string } | { readonly failed: string };

/** The most bytes that are shown. */
const maxBytes = 12 * 1024 ** 2;

/** See the module. */
export function SignupImage({ id, size }: {
  id: string;
  /** Side of the square it has room in, in pixels. */
  size: number;
}) {
  const [loaded, setLoaded] = useState<Loaded | undefined>(undefined);
  useEffect(() => {
    const gone = new AbortController();
    setLoaded(undefined);
    load(id, gone.signal).then(setLoaded, () => {});
    return () => gone.abort();
  }, [id]);
  const room = { width: `${size}px`, height: `${size}px` };
  if (loaded === undefined) return <span class="signup-image skeleton" style={room} />;
  return "url" in loaded
    ? <img class="signup-image" src={loaded.url} alt={`Image of ${id}`} style={room} />
    : (
      <span class="signup-image signup-no-image quiet" style={room} title={loaded.failed}>
        {size < 64 ? "–" : loaded.failed}
      </span>
    );
}

async function load(id: string, signal: AbortSignal): Promise<Loaded> {
  const response = await fetch(`/v2/signups/${encodeURIComponent(id)}/image`, {
    signal,
    headers: authorization(),
  }).catch((error) => {
    if (signal.aborted) throw error;
    return undefined;
  });
  const type = response?.headers.get("content-type") ?? "";
  if (!response?.ok) return { failed: "The image is not there" };
  if (!/^image\/(png|jpeg)$/.test(type)) return { failed: "Not shown: no PNG and no JPEG" };
  const blob = await response.blob();
  if (blob.size > maxBytes) return { failed: "Not shown: too large" };
  return { url: await dataUrl(blob) };
}

/** The page's policy lets it show data of its own making, and no other addresses. */
function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
