/**
 * A model provider on this machine: the OpenAI chat completions protocol, with answers that follow from the prompt
 * and a seed, and with the faults that providers have.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface ModelFaults {
  /** How long an answer takes. Default 0. */
  latencyMs?: number;
  /** The share of calls that are answered 500, 0 to 1. */
  errorRate?: number;
  /** The share of calls that are answered 429. */
  rateLimitRate?: number;
  /** What a 429 says in `Retry-After`; without it there is no such header. */
  retryAfterSeconds?: number;
  /** The share of calls that are never answered. */
  hangRate?: number;
  /** The body of every answer with status 200, in place of a chat completion. */
  body?: string;
  /** How every answer ends. Default `stop`. */
  finishReason?: string;
  /** Parameters that it does not know: a question that has one is refused as Mistral does it. */
  unknownParameters?: string[];
}

export interface ModelServer {
  /** The base URL, as a provider's `…_API_URL` variable has it. */
  url: string;
  /** The one key that is let in. */
  key: string;
  /** The prompt and the answer's status of each call so far (0: left to hang), in order. */
  calls: { model: string; prompt: string; status: number; at: number }[];
  /** How many calls were under way at once, at most. */
  mostAtOnce(): number;
  /** Other faults from here on; those of one model alone when it is named. */
  set(faults: ModelFaults, model?: string): void;
  stop(): Promise<void>;
}

/** Starts it on loopback, on any free port. The same seed gives the same answers and the same faults. */
export async function startModelServer(
  options: ModelFaults & { seed?: number; key?: string } = {},
): Promise<ModelServer> {
  const {
    seed = 1,
    key = `sk-local-${randomBytes(24).toString("hex")}`,
    ...atFirst
  } = options;
  const sockets = new Set<Socket>();
  let underWay = 0;
  let mostUnderWay = 0;
  const calls: ModelServer["calls"] = [];
  let general: ModelFaults = atFirst;
  const special = new Map<string, ModelFaults>();
  const roll = dice(seed);

  async function serve(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const body = await readBody(request);
    const refuse = (
      status: number,
      message: string,
      code: string | null,
      headers: Record<string, string> = {},
    ) => {
      const type = status >= 500 ? "server_error" : "invalid_request_error";
      send(response, status, { error: { message, type, param: null, code } }, headers);
    };
    if (!sameKey(request.headers.authorization ?? "", `Bearer ${key}`)) {
      return refuse(401, "Incorrect API key provided", "invalid_api_key");
    }
    if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
      return refuse(
        404,
        `Unknown request URL: ${request.method} ${request.url}`,
        "unknown_url",
      );
    }
    const asked = readQuestion(body);
    if (asked === undefined) {
      return refuse(400, "model and messages must be given", null);
    }
    const faults = special.get(asked.model) ?? general;
    const call = { ...asked, status: 200, at: Date.now() };
    calls.push(call);
    const unknown = faults.unknownParameters?.find((name) => name in JSON.parse(body));
    if (unknown !== undefined) {
      call.status = 422;
      const msg = "Extra inputs are not permitted";
      return send(response, 422, {
        detail: [{ type: "extra_forbidden", loc: ["body", unknown], msg }],
      });
    }
    const luck = roll();
    const { hangRate = 0, rateLimitRate = 0, errorRate = 0, latencyMs = 0 } = faults;
    if (luck < hangRate) return void (call.status = 0);
    if (latencyMs > 0) await new Promise((done) => setTimeout(done, latencyMs));
    if (luck < hangRate + rateLimitRate) {
      call.status = 429;
      return refuse(
        429,
        "Rate limit reached",
        "rate_limit_exceeded",
        faults.retryAfterSeconds === undefined
          ? {}
          : { "retry-after": String(faults.retryAfterSeconds) },
      );
    }
    if (luck < hangRate + rateLimitRate + errorRate) {
      call.status = 500;
      return refuse(
        500,
        "The server had an error while processing your request",
        null,
      );
    }
    if (faults.body !== undefined) {
      return void response.writeHead(200, {
        "content-type": "application/json",
      }).end(faults.body);
    }
    send(response, 200, completion(asked, seed, asksForJson(body), faults.finishReason));
  }

  const server = createServer((request, response) => {
    // A caller that hangs up is no failure of ours.
    mostUnderWay = Math.max(mostUnderWay, ++underWay);
    response.on("close", () => underWay--);
    serve(request, response).catch(() => response.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    key,
    calls,
    mostAtOnce: () => mostUnderWay,
    set(faults, model) {
      if (model === undefined) general = faults;
      else special.set(model, faults);
    },
    async stop() {
      const closed = new Promise((done) => server.close(done));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = "";
  request.setEncoding("utf8");
  for await (const chunk of request) body += chunk;
  return body;
}

function readQuestion(
  body: string,
): { model: string; prompt: string } | undefined {
  try {
    const { model, messages } = JSON.parse(body);
    const prompt = messages.at(-1).content;
    return typeof model === "string" && typeof prompt === "string" ? { model, prompt } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a `response_format` asks for JSON. */
function asksForJson(body: string): boolean {
  return JSON.parse(body).response_format !== undefined;
}

function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers })
    .end(JSON.stringify(body));
}

function sameKey(given: string, known: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(known));
}

const openings = [
  "In short",
  "As far as I can see",
  "Most likely",
  "From experience",
];
const advice = [
  "measure first and change one thing at a time",
  "ask those who use it every day",
  "start with the smallest step that can be undone",
  "write down what you expect before you look",
];

const questions = [
  "Which single change would save us the most time next month, judging by these figures?",
  "Where do costs grow faster than use, and what drives them?",
  "What did the best day of the week have in common with the one before it?",
  "What do people ask for that nobody offers them yet?",
  "If demand doubled overnight, what would break first?",
  "Who stopped using the service lately, and what had they tried last?",
];

/** `{"prompts": […]}`: three questions, and, as models do, one that was there already in other words. */
function suggestions(request: string, start: number): string {
  const prompts = [0, 1, 2].map((i) => questions[(start + i) % questions.length]!);
  try {
    const first = JSON.parse(request).prompts[0];
    if (typeof first === "string") prompts.push(`Please tell us: ${first}`);
  } catch {
    // It asks for something else; these questions are for everybody.
  }
  return JSON.stringify({ prompts });
}

/** What this model says to this prompt, with a usage of about four characters a token. */
function completion(
  { model, prompt }: { model: string; prompt: string },
  seed: number,
  json: boolean,
  finish_reason = "stop",
) {
  const hash = createHash("sha256").update(`${seed} ${model} ${prompt}`)
    .digest();
  const topic = prompt.replaceAll(/\s+/g, " ").slice(0, 80);
  const content = json
    ? suggestions(prompt, hash[0]!)
    : `${openings[hash[0]! % 4]}, on "${topic}": ${advice[hash[1]! % 4]}, and ${
      advice[hash[2]! % 4]
    }. (${model}, ${hash.toString("hex", 3, 7)})`;
  const tokens = (text: string) => Math.ceil(text.length / 4);
  return {
    id: `chatcmpl-${hash.toString("hex", 8, 20)}`,
    object: "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [{
      index: 0,
      message: { role: "assistant", content },
      finish_reason,
    }],
    usage: {
      prompt_tokens: tokens(prompt),
      completion_tokens: tokens(content),
      total_tokens: tokens(prompt) + tokens(content),
    },
  };
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
