/**
 * One signup: its image, what came of it, and the button of a dead letter.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { formatBytes } from "../../service/page/format.ts";
import { DetailPanel } from "../../service/page/detail_panel.tsx";
import { Failure, Loading } from "../../service/page/states.tsx";
import { href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import type { SignupResource } from "../signups/signup_resource.ts";
import { RequeueButton } from "./queue_view.tsx";
import { SignupImage } from "./signup_image.tsx";
import { signupReason, SignupState, SignupTime } from "./signup_row.tsx";

/** See the module. */
export function SignupDetail({ id }: { id: string }) {
  const { answer, error, reload } = useAnswer<SignupResource>(
    `/v2/signups/${encodeURIComponent(id)}`,
    { refreshMs: 2_000 },
  );
  return (
    <DetailPanel
      label="Signup"
      title={<h2 class="signup-title">{id}</h2>}
      onClose={() => setParams({ signup: undefined })}
    >
      {answer === undefined && error === undefined && <Loading what="the signup" rows={6} />}
      {answer === undefined && error !== undefined && (
        <Failure title={error.title} detail={error.message} onRetry={reload} />
      )}
      {answer && <Found signup={answer} onChange={reload} />}
    </DetailPanel>
  );
}

function Found({ signup, onChange }: { signup: SignupResource; onChange: () => void }) {
  const { id, state, orbId, image, token, attempts, duplicateOf, distance } = signup;
  return (
    <>
      <p class="orb-state-line">
        <SignupState state={state} />
        <SignupTime signup={signup} />
      </p>
      {state === "dead_letter" && <RequeueButton id={id} onDone={onChange} />}
      <SignupImage id={id} size={256} />
      <dl class="facts">
        <Fact name="Why">{signupReason(signup) || "–"}</Fact>
        {duplicateOf !== undefined && (
          <Fact name="First was">
            <a href={href("/queue", new URLSearchParams(), { state: "all", signup: duplicateOf })}>
              {duplicateOf}
            </a>
            {distance !== undefined && `, distance ${distance.toFixed(3)}`}
          </Fact>
        )}
        <Fact name="Orb">
          {orbId === undefined
            ? "not named"
            : <a href={href("/", new URLSearchParams(), { orb: orbId })}>{orbId}</a>}
        </Fact>
        <Fact name="Token">{token === undefined ? "–" : <code>{token}</code>}</Fact>
        <Fact name="Attempts">{attempts}</Fact>
        <Fact name="Image">{formatBytes(image.bytes)}, {image.mediaType}</Fact>
        <Fact name="SHA-256">
          <code class="signup-hash">{image.sha256}</code>
        </Fact>
      </dl>
    </>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
