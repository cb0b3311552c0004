/**
 * The signer's page: a message in, its signature out, and whether it is right.
 *
 * @module
 */
import { render } from "preact";
import { useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { ConnectionPill, Shell } from "../../service/page/shell.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { startUrlState } from "../../service/page/url_state.ts";
import { Answers } from "./answers.tsx";
import { client, info, loadInfo, send, token } from "./entries.ts";

function SignerPage() {
  const state = client.state.value;
  return (
    <Shell
      program="Signer"
      nav={[
        { href: "/sign", label: "Sign", current: true },
      ]}
      notice={state.kind === "reconnecting" && state.attempt > 1 && (
        info.value?.authentication
          ? <>The signer does not answer, or refuses the token. The page tries again by itself.</>
          : (
            <>
              The signer does not answer. The page tries again by itself. If it was stopped, start
              it: <code>deno task signer:api</code>
            </>
          )
      )}
      actions={<ConnectionPill state={state} paused={false} onRetry={() => client.start()} />}
    >
      <div class="sign-view">
        <SignForm />
        <Answers />
      </div>
    </Shell>
  );
}

function SignForm() {
  const field = useRef<HTMLInputElement>(null);
  // One that is silent may only be slow: what is sent has its own time limit.
  const open = ["live", "silent"].includes(client.state.value.kind);
  useShortcuts([
    { key: "/", label: "Write a message", run: () => field.current?.focus() },
    {
      key: "Escape",
      label: "Leave the field",
      run() {
        // Elsewhere the key is others', such as a dialog's.
        if (document.activeElement !== field.current) return false;
        field.current?.blur();
      },
    },
  ]);
  return (
    <div class="sign-head">
      <h1 class="hidden-text">Sign messages</h1>
      {info.value?.authentication && <TokenField />}
      <form
        class="sign-form"
        onSubmit={(event) => {
          event.preventDefault();
          const input = field.current!;
          send(input.value);
          input.value = "";
          input.focus();
        }}
      >
        <label for="message">Message to sign</label>
        <input
          id="message"
          ref={field}
          type="text"
          autoComplete="off"
          spellcheck={false}
          placeholder="Any text"
        />
        <button type="submit" class="button send" disabled={!open}>Send</button>
      </form>
    </div>
  );
}

function TokenField() {
  return (
    <form
      class="sign-form"
      onSubmit={(event) => {
        event.preventDefault();
        sessionStorage.setItem("signer-token", token.peek());
        client.start();
      }}
    >
      <label for="token">Bearer token</label>
      <input
        id="token"
        type="password"
        autoComplete="off"
        value={token.value}
        onInput={(event) => token.value = event.currentTarget.value.trim()}
      />
      <button type="submit" class="button">Use it</button>
    </form>
  );
}

startUrlState(["/sign"]);
startTheme();
startShortcuts();
// With each connection: the server may be another one.
effect(() => {
  if (client.state.value.kind === "live") loadInfo();
});
client.start();
render(<SignerPage />, document.getElementById("page")!);
