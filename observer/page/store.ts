/**
 * What the page knows: the stores, kept up by one live stream, and what its address says.
 *
 * @module
 */
import { computed, effect, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { formatCounted } from "../../service/page/format.ts";
import { postJson, RequestError } from "../../service/page/get_json.ts";
import { LiveStream } from "../../service/page/live_stream.ts";
import type { UnderWayRequest } from "../../service/page/under_way.tsx";
import { address, wordParam } from "../../service/page/url_state.ts";
import { ChangeSpeech } from "./change_speech.ts";
import type { ObserveAnswer, StoresAnswer } from "../api.ts";

/** Orders of the image list. */
export const sorts = ["name", "size", "age"] as const;

const newest = signal<StoresAnswer | undefined>(undefined);
const held = signal<StoresAnswer | undefined>(undefined);

/** Whether the page stands still. */
export const paused = computed(() => address.value.params.has("paused"));

/** The stores as they are shown: while paused, as they were. */
export const stores = computed(() => paused.value ? held.value ?? newest.value : newest.value);

/** The store that is shown: the one of the address, else the first. */
export const selected = computed(() => {
  const wanted = address.value.params.get("store");
  const all = stores.value?.stores ?? [];
  return all.find(({ id }) => id === wanted) ?? all[0];
});

/** The order of the image list. */
export const sort = computed(() => wordParam(address.value.params, "sort", sorts));

/** The time, each second. */
export const now = signal(Date.now());

/** The stream. */
export const stream = new LiveStream({
  url: () => "/api/live",
  events: ["stores"],
  onMessages: (messages) => {
    newest.value = messages.at(-1)!.data as StoresAnswer;
  },
});

/** Begins. */
export function startStore(): void {
  stream.start();
  setInterval(() => now.value = Date.now(), 1_000);
  speakOfChanges();
  effect(() => {
    if (paused.value) held.value = newest.peek();
    else held.value = undefined;
  });
}

/** What has changed in the store that is shown, as it is said to who does not see it. */
export const spoken = signal("");

function speakOfChanges(): void {
  const speech = new ChangeSpeech();
  effect(() => {
    const { id, seen } = selected.value ?? {};
    if (id === undefined || seen === undefined) return;
    const { added = 0, removed = 0 } = seen.changes ?? {};
    const sentence = speech.take({ store: id, atMs: seen.atMs, added, removed });
    if (sentence !== undefined) spoken.value = sentence;
  });
}

/** What the button has asked for and has not been answered. */
export const observing = signal<UnderWayRequest | undefined>(undefined);
const observeTimeoutMs = 60_000;

/** Observes every store now, and says what came of it. */
export async function observeNow(): Promise<void> {
  if (observing.value) return;
  const cancel = new AbortController();
  observing.value = { sinceMs: Date.now(), timeoutMs: observeTimeoutMs, cancel };
  try {
    const { observations } = await postJson<ObserveAnswer>("/observe", undefined, {
      signal: cancel.signal,
      timeoutMs: observeTimeoutMs,
    });
    const failed = observations.filter(({ outcome }) => outcome !== "success");
    const good = observations.length - failed.length;
    announce(
      failed.length === 0
        ? `Observed ${formatCounted(good, "store")}`
        : `${failed.length} of ${formatCounted(observations.length, "store")} could not be read`,
    );
  } catch (error) {
    if (cancel.signal.aborted) announce("Not waited for: the stores are observed all the same");
    else if (error instanceof RequestError) announce(`Could not observe: ${error.message}`);
    else throw error;
  } finally {
    observing.value = undefined;
  }
}
