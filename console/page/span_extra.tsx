/**
 * What is asked for once a span is chosen: links in both directions, scope, flags, what was dropped.
 *
 * @module
 */
import { Facts } from "../../service/page/detail_panel.tsx";
import { shortenId } from "../../service/page/format.ts";
import { ServiceName } from "../../service/page/service_mark.tsx";
import { href } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { type LinkEnd, type SpanExtra, spanPath } from "../page_api/api.ts";
import { flatten } from "./metric_lines.ts";

/** See the module. Nothing while it is not there: what the span itself says stands above. */
export function SpanMore({ traceId, spanId }: { traceId: string; spanId: string }) {
  const { answer } = useAnswer<SpanExtra>(spanPath(traceId, spanId));
  if (answer === undefined) return null;
  const { links, linkedFrom, scope, traceState, flags, dropped } = answer;
  const { attributes, events, links: droppedLinks } = dropped;
  const facts: (readonly [string, string])[] = [
    ["scope", [scope.name, scope.version].filter((one) => one !== "").join(" ")],
    ["schema", scope.schemaUrl],
    ["trace state", traceState],
    ["flags", flagsText(flags)],
    ["dropped by its sender", droppedText(attributes, events, droppedLinks)],
    ...Object.entries(flatten(scope.attributes)).map(([key, value]) =>
      [`scope ${key}`, value] as const
    ),
  ];
  const shown = facts.filter(([, value]) => value !== "");
  return (
    <>
      <Links title="Links" links={links} />
      <Links title="Linked from" links={linkedFrom} />
      {shown.length > 0 && (
        <section>
          <h3>Origin</h3>
          <Facts facts={shown} />
        </section>
      )}
    </>
  );
}

function Links({ title, links }: { title: string; links: readonly LinkEnd[] }) {
  if (links.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul class="span-links">
        {links.map((link, i) => (
          <li key={i}>
            <a
              href={href(`/traces/${link.traceId}`, undefined, { span: link.spanId })}
              title={`Trace ${link.traceId}, span ${link.spanId}`}
            >
              {link.name === undefined ? <code>{shortenId(link.traceId)}</code> : link.name}
            </a>{" "}
            {link.service === undefined
              ? <span class="quiet">not held</span>
              : <ServiceName name={link.service} />}
            <Facts
              facts={[
                ...Object.entries(flatten(link.attributes)),
                ...(link.traceState === "" ? [] : [["trace state", link.traceState] as const]),
              ]}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** W3C's flags, and OTLP's own two above them. */
function flagsText(flags: number): string {
  if (flags === 0) return "";
  const words = [
    flags & 1 ? "sampled" : "not sampled",
    ...(flags & 2 ? ["random id"] : []),
    ...(flags & 0x100 ? [flags & 0x200 ? "parent is remote" : "parent is local"] : []),
  ];
  return `0x${flags.toString(16).padStart(2, "0")}: ${words.join(", ")}`;
}

function droppedText(attributes: number, events: number, links: number): string {
  return [[attributes, "attributes"], [events, "events"], [links, "links"]]
    .filter(([count]) => count !== 0).map((pair) => pair.join(" ")).join(", ");
}
