/**
 * The client of the API's second version: its types are generated from what the server says of
 * itself at `/openapi.json` (`deno task orb:generate-client`), calls are made by `openapi-fetch`.
 *
 * @module
 */
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./gen/openapi.ts";
import { isJsonText } from "../json_text.ts";

/** The API, typed: `client.PUT("/v2/signups/{id}", { … })`. */
export type OrbClient = Client<paths>;

/** The schemas that answers have. */
export type OrbSchemas = components["schemas"];

/** An answer with as much of its text as is read. */
export interface PlainAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Makes one call, and reads its answer by {@linkcode readStart}. */
export type OrbCall = (url: string, init: RequestInit) => Promise<PlainAnswer>;

/** An answer with a status of success that is no JSON, as that of a login page. */
export class UnusableAnswerError extends Error {
  override name = "UnusableAnswerError";
  readonly status: number;

  constructor(status: number) {
    super(`the answer with status ${status} is not the JSON of an orb server`);
    this.status = status;
  }
}

/** The most bytes of an answer that are read: a status resource has some hundred, commands some thousand. */
const maxAnswerBytes = 65_536;

/**
 * Makes a client. Each call names who makes it: `fetch: fetchedBy(…)`.
 *
 * @param server its base, such as `http://127.0.0.1:4242`
 *
 * @example
 * ```ts
 * const client = createOrbClient({ server: "http://127.0.0.1:4242" });
 * const { data, error } = await client.GET("/v2/signups/{id}", {
 *   params: { path: { id } },
 *   fetch: fetchedBy(call),
 * });
 * ```
 */
export function createOrbClient({ server }: { server: string }): OrbClient {
  return createClient<paths>({
    baseUrl: server,
    Request: PlainRequest as unknown as typeof Request,
  });
}

/**
 * `fetch` for a client's call.
 *
 * @throws {UnusableAnswerError} what should be JSON is none, or is too long
 */
export function fetchedBy(call: OrbCall): (request: Request) => Promise<Response> {
  return async function fetchPlain(request) {
    const { url, init } = request as unknown as PlainRequest;
    const { status, headers, text } = await call(url, init);
    const isEmpty = [204, 205, 304].includes(status);
    if (status >= 200 && status <= 299 && !isEmpty && !isJsonText(text)) {
      throw new UnusableAnswerError(status);
    }
    return new Response(isEmpty ? null : text, { status, headers });
  };
}

/** Hands over bytes as they are. */
export function asBytes(body: unknown): BodyInit {
  return body as BodyInit;
}

/**
 * What is to be asked, as it was given: in a real `Request` a body is a stream, without a length and
 * to be sent once only, while a call may be made again with another token.
 */
class PlainRequest {
  readonly url: string;
  readonly init: RequestInit;

  constructor(url: string, init: RequestInit) {
    this.url = url;
    this.init = init;
  }
}

/** Reads of an answer as much as a client can use; the rest is dropped, and the connection with it. */
export async function readStart(body: ReadableStream<Uint8Array> | null): Promise<string> {
  let text = "";
  let length = 0;
  const decoder = new TextDecoder();
  for await (const chunk of body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    length += chunk.length;
    if (length > maxAnswerBytes) break;
  }
  return text.slice(0, maxAnswerBytes);
}
