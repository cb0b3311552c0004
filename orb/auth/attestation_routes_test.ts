import assert from "node:assert/strict";
import { createOrbApi } from "../api/orb_api.ts";
import { addAttestationRoutes } from "./attestation_routes.ts";
import type { Attestation } from "./attestation.ts";
import type { AuditLog } from "./audit_log.ts";

Deno.test("POST /v2/auth/tokens takes one text for a signature, and hands on its bytes", async () => {
  const seen: Uint8Array[] = [];
  const attestation = {
    grant(_challenge: string, signature: Uint8Array) {
      seen.push(signature);
      return Promise.resolve({ token: "t", lifetimeSeconds: 900, scope: "orb:signup" });
    },
  } as unknown as Attestation;
  const api = createOrbApi();
  addAttestationRoutes(api, attestation, {} as AuditLog);
  const signature = crypto.getRandomValues(new Uint8Array(64));
  const text = signature.toBase64({ alphabet: "base64url", omitPadding: true });
  const status = async (signature: string) => {
    const response = await api.request("http://localhost/v2/auth/tokens", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ challenge: "c", signature }),
    });
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await status(text), 200);
  assert.deepEqual(seen, [signature]);
  // Another last digit for the same bytes, white space, padding, the other alphabet, too short.
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const other = text.slice(0, -1) + digits[digits.indexOf(text.at(-1)!) + 1];
  const plain = `+/${text.slice(2)}`;
  for (const wrong of [other, `${text}\n`, ` ${text}`, `${text}==`, plain, text.slice(1)]) {
    assert.equal(await status(wrong), 422, wrong);
  }
  assert.equal(seen.length, 1);
});
