/**
 * One orb: how it is, what it can be told, what it signed up.
 *
 * @module
 */
import { useState } from "preact/hooks";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNumber,
} from "../../service/page/format.ts";
import { DetailPanel, Facts } from "../../service/page/detail_panel.tsx";
import { Failure, Loading } from "../../service/page/states.tsx";
import { href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import type { Command, CommandRequest, Device, DeviceStatus } from "../devices/device_status.ts";
import type { SignupResource } from "../signups/signup_resource.ts";
import { callAndSay } from "./call.ts";
import { agoText } from "./fleet_view.tsx";
import { OrbMark, stateLooks } from "./orb_mark.tsx";
import { SignupImage } from "./signup_image.tsx";
import { signupReason, SignupState, SignupTime } from "./signup_row.tsx";
import { paused } from "./store.ts";

const refreshMs = 2_000;
const shownSignups = 12;

/** See the module. */
export function OrbDetail({ id }: { id: string }) {
  const path = `/v2/orbs/${encodeURIComponent(id)}`;
  const live = paused.value ? {} : { refreshMs };
  const { answer, error, reload } = useAnswer<Device>(path, live);
  return (
    <DetailPanel
      label="Orb"
      title={<h2>{id}</h2>}
      onClose={() => setParams({ orb: undefined })}
    >
      {answer === undefined && error === undefined && <Loading what="the orb" rows={6} />}
      {answer === undefined && error !== undefined && (
        <Failure title={error.title} detail={error.message} onRetry={reload} />
      )}
      {answer && (
        <>
          <OrbState device={answer} />
          <Commands device={answer} onChange={reload} />
          <Signups id={id} />
          <Status status={answer.status} />
        </>
      )}
    </DetailPanel>
  );
}

function OrbState({ device }: { device: Device }) {
  const { state, reason, lastSeenAt, signupsPerMinute, signupsLeftToUpload } = device;
  return (
    <>
      <p class="orb-state-line">
        <OrbMark state={state} />
        <span>
          <b>{stateLooks[state].word}</b>
          {reason !== null && `: ${reason}`}
        </span>
      </p>
      <Facts
        facts={[
          ["Seen", lastSeenAt === null ? "never" : `${agoText(Date.parse(lastSeenAt))} ago`],
          ["Signups", `${formatCount(signupsPerMinute)} in the last minute`],
          ["Left to upload", signupsLeftToUpload === null ? "–" : formatCount(signupsLeftToUpload)],
        ]}
      />
    </>
  );
}

/** What a device may be told, and what became of it. */
function Commands({ device, onChange }: { device: Device; onChange: () => void }) {
  const { id, commands } = device;
  const [sending, setSending] = useState(false);
  async function send(command: CommandRequest, done: string) {
    setSending(true);
    const path = `/v2/orbs/${encodeURIComponent(id)}/commands`;
    if (await callAndSay("POST", path, { body: command, done })) onChange();
    setSending(false);
  }
  return (
    <section aria-labelledby="commands-title">
      <h3 id="commands-title">Commands</h3>
      <div class="commands">
        <button
          type="button"
          class="button"
          disabled={sending}
          onClick={() => void send({ type: "sign_up" }, `${id} signs up with its next report`)}
        >
          Sign up now
        </button>
        <button
          type="button"
          class="button"
          disabled={sending}
          onClick={() => void send({ type: "reset" }, `${id} begins anew with its next report`)}
        >
          Reset
        </button>
      </div>
      <IntervalForm
        disabled={sending}
        onSend={(signup_interval_sec) =>
          void send(
            { type: "set_interval", signup_interval_sec },
            `${id} signs up every ${signup_interval_sec} s from its next report on`,
          )}
      />
      {commands.length > 0 && (
        <ul class="command-list" aria-label="Commands so far">
          {commands.toReversed().slice(0, 6).map((one) => (
            <CommandRow key={one.id} command={one} />
          ))}
        </ul>
      )}
    </section>
  );
}

function IntervalForm({ disabled, onSend }: {
  disabled: boolean;
  onSend: (seconds: number) => void;
}) {
  return (
    <form
      class="interval-form"
      onSubmit={(event) => {
        event.preventDefault();
        const field = event.currentTarget.elements.namedItem("seconds") as HTMLInputElement;
        onSend(field.valueAsNumber);
      }}
    >
      <label class="field">
        Seconds between signups
        <input name="seconds" type="number" min="0" max="86400" step="any" required />
      </label>
      <button type="submit" class="button" disabled={disabled}>Set</button>
    </form>
  );
}

function CommandRow({ command }: { command: Command }) {
  const { command: told, state, detail, updatedAt } = command;
  return (
    <li>
      <span>{commandText(told)}</span>
      <span class="quiet">
        {state}
        {detail !== undefined && `: ${detail}`}, {agoText(Date.parse(updatedAt))} ago
      </span>
    </li>
  );
}

function commandText(command: CommandRequest): string {
  switch (command.type) {
    case "reset":
      return "Reset";
    case "sign_up":
      return "Sign up now";
    case "set_interval":
      return [
        command.signup_interval_sec === undefined
          ? ""
          : `a signup every ${command.signup_interval_sec} s`,
        command.status_interval_sec === undefined
          ? ""
          : `a report every ${command.status_interval_sec} s`,
      ].filter((part) => part !== "").join(", ");
  }
}

function Signups({ id }: { id: string }) {
  const live = paused.value ? {} : { refreshMs };
  const query = new URLSearchParams({ orbId: id, limit: `${shownSignups}` });
  const { answer, error, reload } = useAnswer<{ signups: SignupResource[] }>(
    `/v2/signups?${query}`,
    live,
  );
  return (
    <section aria-labelledby="signups-title">
      <h3 id="signups-title">Its last irises</h3>
      {answer === undefined && error === undefined && <Loading what="its signups" rows={3} />}
      {answer === undefined && error !== undefined && (
        <Failure title={error.title} detail={error.message} onRetry={reload} />
      )}
      {answer?.signups.length === 0 && <p class="quiet">It has signed nobody up yet.</p>}
      <ul class="irises">
        {answer?.signups.map((signup) => (
          <li key={signup.id}>
            <a
              class="iris"
              href={href("/queue", new URLSearchParams(), { state: "all", signup: signup.id })}
            >
              <SignupImage id={signup.id} size={48} />
              <span class="iris-text">
                <SignupState state={signup.state} />
                <SignupTime signup={signup} />
                <span class="quiet clip">{signupReason(signup)}</span>
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The last report, as far as the device knows itself. */
function Status({ status }: { status: DeviceStatus | null }) {
  if (status === null) {
    return <p class="quiet">It has sent no report: it is known by its signups only.</p>;
  }
  const { battery, temperature = {}, ssd, wifi, cellular_status: cellular } = status;
  const interfaces = status.net_stats?.interfaces ?? [];
  const facts: (readonly [string, string])[] = [
    ["Software", status.version?.current_release ?? "–"],
    [
      "Running for",
      status.uptime_sec === undefined ? "–" : formatDuration(status.uptime_sec * 1e3),
    ],
    ["Signup part", status.signup_state ?? "–"],
    ["Battery", batteryText(battery)],
    ["Disk left", ssd?.space_left === undefined ? "–" : formatBytes(ssd.space_left)],
    ["Wi-Fi", wifi === undefined ? "–" : `${wifi.ssid ?? "?"}${signalText(wifi.quality)}`],
    ["Cellular", cellular === undefined ? "–" : [cellular.operator, cellular.rat].join(" ").trim()],
    ...interfaces.map((one) =>
      [
        one.name,
        `${formatBytes(one.tx_bytes)} sent, ${formatBytes(one.rx_bytes)} received`,
      ] as const
    ),
    ...Object.entries(temperature).filter(([, value]) => value !== undefined).map(([name, value]) =>
      [`${name.replaceAll("_", " ")}`, `${formatNumber(value!)} °C`] as const
    ),
    ...Object.entries(status.hardware_states ?? {}).map(([name, one]) =>
      [name, one.message === "" ? one.status : `${one.status}: ${one.message}`] as const
    ),
  ];
  return (
    <section aria-labelledby="status-title">
      <h3 id="status-title">Last report</h3>
      <Facts facts={facts} />
    </section>
  );
}

function batteryText(battery: DeviceStatus["battery"]): string {
  if (battery?.level === undefined) return "–";
  return `${formatNumber(battery.level)} %${battery.isCharging ? ", charging" : ""}`;
}

function signalText(quality: NonNullable<DeviceStatus["wifi"]>["quality"]): string {
  return quality?.signal_level === undefined ? "" : `, ${quality.signal_level} dBm`;
}
