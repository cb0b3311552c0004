/**
 * The images of a store: searched, sorted, of any number.
 *
 * @module
 */
import { useEffect, useRef, useState } from "preact/hooks";
import {
  formatBytes,
  formatCounted,
  formatDuration,
  shortenId,
} from "../../service/page/format.ts";
import { Choice } from "../../service/page/choice.tsx";
import { SearchField } from "../../service/page/search_field.tsx";
import { NewPill } from "../../service/page/shell.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { VirtualList } from "../../service/page/virtual_list.tsx";
import { imageName, type ImagesAnswer, type ImageView, type StoreView } from "../api.ts";
import { now, sort, sorts } from "./store.ts";

const firstLimit = 500;
const rowHeight = 40;

const sortLabels = { name: "Name", size: "Size", age: "Age" } as const;

/** See the module. */
export function ImageList({ store }: { store: StoreView }) {
  const seenMs = store.seen!.atMs;
  const q = address.value.params.get("q") ?? "";
  const [limit, setLimit] = useState(firstLimit);
  const [held, setHeld] = useState(false);
  const [topRequest, setTopRequest] = useState(0);
  const query = new URLSearchParams({ store: store.id, q, sort: sort.value, limit: `${limit}` });
  const { answer, error, reload } = useAnswer<ImagesAnswer>(`/api/images?${query}`);

  // While more or other rows are on their way, those that were there stay.
  const last = useRef<ImagesAnswer | undefined>(undefined);
  if (answer !== undefined) last.current = answer;
  const shown = answer ?? last.current;

  const outdated = shown !== undefined && shown.atMs !== seenMs;
  const changed = outdated && store.seen!.changes
    ? store.seen!.changes.added + store.seen!.changes.removed
    : 0;
  // Rows never move under a reader: what changed while the list is held waits behind a pill.
  const wait = held && changed > 0;
  useEffect(() => {
    if (outdated && answer !== undefined && !wait) reload();
  }, [outdated, wait, seenMs]);

  return (
    <section class="images" aria-labelledby="images-title">
      <ImagesHead q={q} total={shown?.total} />
      <div class="images-place">
        <NewPill
          count={wait ? changed : 0}
          onShow={() => {
            setTopRequest(topRequest + 1);
            setHeld(false);
            reload();
          }}
        />
        {shown === undefined && error === undefined && <Loading what="the images" />}
        {shown === undefined && error !== undefined && (
          <Failure title={error.title} detail={error.message} onRetry={reload} />
        )}
        {shown && shown.images.length === 0 && <NoImages q={q} />}
        {shown && shown.images.length > 0 && (
          <VirtualList
            label="Images"
            rows={shown.images}
            rowKey={({ id }) => id}
            rowHeight={rowHeight}
            onHold={setHeld}
            onEnd={() => shown.images.length < shown.total && setLimit(limit * 2)}
            topRequest={topRequest}
            scrollName={store.id}
          >
            {(image, tabIndex) => <ImageRow image={image} tabIndex={tabIndex} />}
          </VirtualList>
        )}
      </div>
    </section>
  );
}

function ImagesHead({ q, total }: { q: string; total: number | undefined }) {
  return (
    <div class="images-head">
      <h2 id="images-title">Images</h2>
      <SearchField
        label="Name, tag, digest"
        value={q}
        onChange={(text) => setParams({ q: text }, { replace: true })}
      />
      <Choice
        label="Order"
        words={sorts}
        chosen={sort.value}
        text={(word) => sortLabels[word]}
        onChoose={(word) => setParams({ sort: word === "name" ? undefined : word })}
      />
      {total !== undefined && (
        <span class="quiet images-total">
          {formatCounted(total, "image")}
        </span>
      )}
    </div>
  );
}

function NoImages({ q }: { q: string }) {
  return (
    <Empty title={q === "" ? "The store is empty" : "No image fits"}>
      {q === "" ? <p>It holds no images. Pull or import one, and observe again.</p> : (
        <button
          type="button"
          class="button"
          onClick={() => setParams({ q: undefined })}
        >
          Show all
        </button>
      )}
    </Empty>
  );
}

function ImageRow({ image, tabIndex }: { image: ImageView; tabIndex: 0 | -1 }) {
  const more = image.tags.slice(1);
  const open = address.value.params.get("image") === image.id;
  return (
    <a
      class="image-row"
      tabIndex={tabIndex}
      href={href("/", address.value.params, { image: open ? undefined : image.id })}
      aria-current={open ? "true" : undefined}
    >
      <span class="clip image-name" title={[...image.tags, ...image.digests].join("\n")}>
        {imageName(image)}
        {more.length > 0 && <span class="quiet">{` +${more.length}`}</span>}
      </span>
      <span class="image-pin">{image.pinned && <span class="tag">pinned</span>}</span>
      <code class="quiet image-id" title={image.id}>
        {shortenId(image.id.replace(/^sha\d+[:-]/, ""), 12)}
      </code>
      <span class="image-size">
        {image.sizeBytes === undefined ? "–" : formatBytes(image.sizeBytes)}
      </span>
      <span class="image-age">{ageText(image, now.value)}</span>
    </a>
  );
}

/** How old an image is: by its import, or at least as long as it has been seen. */
export function ageText({ importedAtMs, firstSeenMs }: ImageView, nowMs: number): string {
  const round = (ms: number) =>
    formatDuration(Math.max(1_000, Math.floor(ms / 1_000) * 1_000)).split(" ")[0]!;
  return importedAtMs === undefined
    ? `≥ ${round(nowMs - firstSeenMs)}`
    : round(nowMs - importedAtMs);
}
