/**
 * Which topic a message goes by.
 *
 * @module
 */
import { type StoredAttributes, valueText } from "../intake/values.ts";

/**
 * The topic that a span's attributes name (OpenTelemetry's conventions for messaging), empty if none:
 * by its template where there is one, as topics of one instance each are one place on a map.
 */
export function topicOf(attributes: StoredAttributes): string {
  let name = "";
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i] === "messaging.destination.template") return valueText(attributes[i + 1]!);
    if (attributes[i] === "messaging.destination.name") name = valueText(attributes[i + 1]!);
  }
  return name;
}
