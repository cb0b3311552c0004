/**
 * Events of the server and its devices: the log lines that a person wants to hear of get a name,
 * `event.name`, so that they are events as OTLP log records, too, and go to the webhook.
 *
 * @module
 */
import type { Log, LogFields, LogLevel } from "../../service/log.ts";
import type { Webhook } from "./webhook.ts";

/** Events by the message of their line; a test looks for each in the code. Every error is one, too. */
export const events: Readonly<Record<string, string>> = {
  "The orb server is ready": "orb.server.ready",
  "The orb server stops": "orb.server.stopping",
  "Every token was forgotten": "orb.server.reset",
  "Tokens can be written again": "orb.store.recovered",
  "Tokens cannot be written; new images are refused with 503 until it works again. Free space or mend the store":
    "orb.store.failing",
  "Images can be written again": "orb.images.recovered",
  "Images cannot be written; signups of v2 are refused with 503 until it works again":
    "orb.images.failing",
  "A signup is a dead letter: mend what is wrong, then requeue it": "orb.signup.dead_letter",
  "An orb is silent": "orb.device.silent",
  "An orb reports": "orb.device.reports",
  "A call was refused": "orb.call.refused",
  "The devices' keys cannot be read": "orb.devices.unreadable",
};

/**
 * A log whose events are named and go to the webhook, if there is one.
 *
 * @example
 * ```ts
 * const log = withEvents(context.log, webhook);
 * log.warn("An orb is silent", { orb: "orb-1" }); // event.name=orb.device.silent
 * ```
 */
export function withEvents(log: Log, webhook?: Pick<Webhook, "send">): Log {
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    const name = events[message] ?? (level === "error" ? "orb.server.error" : undefined);
    if (name === undefined) return log[level](message, fields);
    log[level](message, { ...fields, "event.name": name });
    if (level === "debug") return;
    webhook?.send({
      // Errors without a name of their own are told apart by their words.
      kind: name === "orb.server.error" ? `${name} ${message}` : name,
      text: message,
      level,
      ...(fields && { fields }),
    });
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
