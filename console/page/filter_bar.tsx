/**
 * The parts that the filters of several views share.
 *
 * @module
 */
import { formatCount } from "../../service/page/format.ts";
import { address, setParams } from "../../service/page/url_state.ts";
import { services } from "./store.ts";

/** Chooses one service or all; one that is in the address but unknown can still be seen and left. */
export function ServiceFilter() {
  const chosen = address.value.params.get("service") ?? "";
  const names = services.value.map((service) => service.name);
  if (chosen !== "" && !names.includes(chosen)) names.push(chosen);
  return (
    <label class="field">
      <span class="hidden-text">Service</span>
      <select
        value={chosen}
        onChange={(event) => setParams({ service: event.currentTarget.value })}
      >
        <option value="">All services</option>
        {names.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

/** Says that what is shown is a sample, and of how much. */
export function SampleNotice(
  { sampled, noun }: { sampled: { shown: number; seen: number } | undefined; noun: string },
) {
  if (sampled === undefined) return null;
  return (
    <span class="sample-notice">
      A sample: showing {formatCount(sampled.shown)} of {formatCount(sampled.seen)} {noun}/s
    </span>
  );
}
