/**
 * One image: all its names, digests, size, age.
 *
 * @module
 */
import { CopyButton } from "../../service/page/copy.tsx";
import { DetailPanel, Facts } from "../../service/page/detail_panel.tsx";
import { formatBytes, formatCount, formatTimeWithZone } from "../../service/page/format.ts";
import { Failure, Loading } from "../../service/page/states.tsx";
import { setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { imageName, type ImagesAnswer, type ImageView, type StoreView } from "../api.ts";

/** See the module. */
export function ImageDetail({ store, id }: { store: StoreView; id: string }) {
  const query = new URLSearchParams({ store: store.id, q: id, limit: "10" });
  const { answer, error, reload } = useAnswer<ImagesAnswer>(
    `/api/images?${query}`,
    { refreshMs: 5_000 },
  );
  const image = answer?.images.find((one) => one.id === id);
  return (
    <DetailPanel
      label="Image"
      title={<span class="clip">{image ? imageName(image) : id}</span>}
      actions={<CopyButton text={id} what="the image's id" />}
      onClose={() => setParams({ image: undefined })}
    >
      {image && <Facts facts={factsOf(image)} />}
      {answer && !image && (
        <p>The store no longer has this image: it was removed since the link was made.</p>
      )}
      {!answer && !error && <Loading what="the image" />}
      {!answer && error && <Failure title={error.title} detail={error.message} onRetry={reload} />}
    </DetailPanel>
  );
}

function factsOf(image: ImageView): [string, string][] {
  return [
    ["id", image.id],
    ...image.tags.map((tag): [string, string] => ["name", tag]),
    ...image.digests.map((digest): [string, string] => ["digest", digest]),
    [
      "size",
      image.sizeBytes === undefined
        ? "not told by the store"
        : `${formatBytes(image.sizeBytes)} (${formatCount(image.sizeBytes)} bytes)`,
    ],
    [
      "imported",
      image.importedAtMs === undefined
        ? "not told by the store"
        : formatTimeWithZone(image.importedAtMs),
    ],
    ["first seen here", formatTimeWithZone(image.firstSeenMs)],
    ["pinned", image.pinned === undefined ? "not told by the store" : image.pinned ? "yes" : "no"],
  ];
}
