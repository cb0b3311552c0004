/**
 * Backend 1's side to its clients: a GraphQL endpoint. Its resolvers do what the simulation calls
 * directly, `topology/backend_one.ts`.
 *
 * There is no GraphiQL: its page comes from another host.
 *
 * @module
 */
import { context, isSpanContextValid, trace } from "@opentelemetry/api";
import { GraphQLError } from "graphql";
import { createSchema, createYoga } from "graphql-yoga";
import type { Context } from "hono";
import { readText } from "../../service/request_body.ts";
import type { World } from "../../service/world/world.ts";
import { LinkError, StoreError } from "../topology/ports.ts";
import type { PlacedOrder } from "../topology/backend_one.ts";
import { traceIdOf } from "./live_observer.ts";
import { LiveError } from "./live_world.ts";
import type { BoxState } from "./live_state.ts";

/** What the resolvers need of the live topology. */
export interface GraphqlBackend {
  placeOrder(
    order: { id?: string | undefined; key?: string | undefined },
    traceparent?: string,
  ): Promise<PlacedOrder>;
  findOrder(id: string): Promise<PlacedOrder | undefined>;
  newestOrders(limit: number): Promise<PlacedOrder[]>;
  boxes(): readonly BoxState[];
}

const typeDefs = /* GraphQL */ `
  "PLACED: backend 1 has it. CONFIRMED: backend 2 has applied it, and backend 1 knows."
  enum OrderState { PLACED CONFIRMED }

  type Order {
    id: ID!
    "Orders of one key are applied in their order."
    key: String!
    "Its place among the orders of its key, from 1."
    sequence: Int!
    state: OrderState!
    "The id of its trace, 32 hexadecimal digits."
    trace: String!
  }

  "An outbox, an inbox or a topic."
  type Box {
    name: String!
    "What is in it and not yet done with."
    depth: Int!
    "Of these, what its handler has given up on."
    parked: Int!
    "How long the oldest has been in it, in seconds; a topic does not say."
    oldestSeconds: Float
  }

  type Query {
    order(id: ID!): Order
    "The newest orders, newest first; last is 1 to 1000."
    orders(last: Int! = 20): [Order!]!
    boxes: [Box!]!
  }

  type Mutation {
    """
    Places an order. Without a key it gets one of the keys, in turn. An id of your own, o- and up to 60
    letters, digits, - or _, makes asking again harmless. When the answer is an error with code TIMEOUT
    or UNAVAILABLE ask again: whether it is placed is not known after TIMEOUT.
    """
    placeOrder(key: String, id: ID): Order!
  }
`;

/** Of a request's body, in bytes. */
const maxBodyBytes = 65_536;

/**
 * Makes the route's handler for `POST /graphql`.
 *
 * @example
 * ```ts
 * app.post("/graphql", graphqlEndpoint(backend, { world }));
 * ```
 */
export function graphqlEndpoint(
  backend: GraphqlBackend,
  { world }: { world: World },
): (c: Context) => Promise<Response> {
  const yoga = createYoga({
    schema: createSchema({ typeDefs, resolvers: resolversOf(backend) }),
    graphqlEndpoint: "/graphql",
    graphiql: false,
    landingPage: false,
    // The one guard says which pages may ask.
    cors: false,
    logging: false,
    maskedErrors: true,
  });
  return async function answerGraphql(c) {
    const request = c.req.raw;
    const body = await readText(request, { limitBytes: maxBodyBytes, world });
    return await yoga.fetch(
      new Request(request.url, { method: "POST", headers: request.headers, body }),
    );
  };
}

function resolversOf(backend: GraphqlBackend) {
  return {
    Query: {
      order: async (_: unknown, { id }: { id: string }) => shown(await backend.findOrder(id)),
      orders: async (_: unknown, { last }: { last: number }) => {
        if (last < 1 || last > 1_000) throw refusal("BAD_USER_INPUT", "Give a last from 1 to 1000");
        return (await backend.newestOrders(last)).map(shown);
      },
      boxes: () =>
        backend.boxes().map(({ oldestMs, ...box }) => ({
          ...box,
          oldestSeconds: oldestMs === undefined ? null : oldestMs / 1_000,
        })),
    },
    Mutation: {
      placeOrder: async (_: unknown, { key, id }: { key?: string | null; id?: string | null }) => {
        try {
          const order = { id: id ?? undefined, key: key ?? undefined };
          return shown(await backend.placeOrder(order, activeTraceparent()));
        } catch (error) {
          throw graphqlError(error);
        }
      },
    },
  };
}

function shown(order: PlacedOrder | undefined) {
  return order && { ...order, state: order.state.toUpperCase(), trace: traceIdOf(order.trace) };
}

/** The order belongs to the trace of the request that has placed it. */
function activeTraceparent(): string | undefined {
  const spanContext = trace.getSpanContext(context.active());
  if (spanContext === undefined || !isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags } = spanContext;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

function graphqlError(error: unknown): unknown {
  if (error instanceof LiveError) return refusal("BAD_USER_INPUT", error.message);
  if (error instanceof LinkError) {
    return refusal(error.kind === "timeout" ? "TIMEOUT" : "UNAVAILABLE", error.message);
  }
  if (error instanceof StoreError) return refusal("UNAVAILABLE", error.message);
  return error;
}

function refusal(code: string, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}
