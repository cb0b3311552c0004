/**
 * A token for a server that lets nobody in without one. It is kept for as long as the tab lives.
 *
 * @module
 */
import { setBearerToken } from "../../service/page/bearer.ts";
import { stream } from "./store.ts";

/** See the module. */
export function TokenForm() {
  return (
    <form
      class="token-form"
      onSubmit={(event) => {
        event.preventDefault();
        const field = event.currentTarget.elements.namedItem("token") as HTMLInputElement;
        setBearerToken(field.value.trim());
        stream.restart();
      }}
    >
      <label class="field">
        Token with the scope orb:admin
        <input name="token" type="password" autocomplete="off" />
      </label>
      <button type="submit" class="button">Use</button>
    </form>
  );
}
