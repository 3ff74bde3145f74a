/** An OpenAI-compatible endpoint of the tests' own: what it is asked, and answers as the real one documents them. */
import { createTwoFilesPatch } from "diff";
import type { ReceivedRequest, Reply } from "./http-server.ts";

/** The document that a question to the model holds, with all its data. */
export interface QuestionDocument {
  purpose: string;
  error_type: string;
  traceback: string;
  earlier_proposals: { diff: string; outcome: string; reason?: string }[];
  code: string[];
}

/** What a request asks: the two messages, the second one read. */
export function questionOf(request: ReceivedRequest) {
  const body = JSON.parse(request.body);
  const [system, user] = body.messages as { role: string; content: string }[];
  return {
    body,
    system: system!.content,
    document: JSON.parse(user!.content) as QuestionDocument,
  };
}

/** A chat completion with this text. */
export function completion(content: unknown, changes: Record<string, unknown> = {}): Reply {
  return {
    status: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      id: "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
      object: "chat.completion",
      created: 1741569952,
      model: "test-model-2026-01-01",
      choices: [{
        index: 0,
        message: {
          role: "assistant",
          content: typeof content === "string" ? content : JSON.stringify(content),
          refusal: null,
          annotations: [],
        },
        logprobs: null,
        finish_reason: "stop",
        ...changes,
      }],
      usage: { prompt_tokens: 1200, completion_tokens: 300, total_tokens: 1500 },
      service_tier: "default",
    }),
  };
}

/** An error as OpenAI words it. */
export function refusal(status: number, message: string, code: string | null = null): Reply {
  return {
    status,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      error: { message, type: "invalid_request_error", param: null, code },
    }),
  };
}

/** How Mistral refuses a parameter that it does not know. */
export function mistralRefusal(parameter: string, status = 422): Reply {
  return {
    status,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      detail: [{
        type: "extra_forbidden",
        loc: ["body", parameter],
        msg: "Extra inputs are not permitted",
        input: 10,
      }],
    }),
  };
}

/** A good fix: the last line of the code asked about becomes `pass`. */
export function goodFix(request: ReceivedRequest): Reply {
  const code = questionOf(request).document.code;
  const fixed = [...code.slice(0, -1), "pass"];
  const text = (lines: string[]) => `${lines.join("\n")}\n`;
  return completion({
    diff: createTwoFilesPatch("a/main.py", "b/main.py", text(code), text(fixed)),
    reasoning: "The last line cannot work.",
    confidence: 0.8,
  });
}
