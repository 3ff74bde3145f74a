import { componentTests, repeat } from "../../support/system-health.ts";

componentTests("code", [
  ["a few causes are open", causes(9), "healthy", { open_causes: 9, came_back: 0 }],
  ["ten causes are open", causes(10), "degraded", { open_causes: 10 }],
  ["a hundred causes are open", causes(100), "critical", { open_causes: 100 }],
  ["a cause came back", causes(1, "open", 2), "degraded", { came_back: 1 }],
  ["ten causes came back", causes(10, "open", 1), "critical", { came_back: 10 }],
  ["causes are fixed or ignored", causes(200, "fixed", 1) + causes(200, "ignored"), "healthy", {
    open_causes: 0,
    came_back: 0,
  }],
  ["a failure waits for the next look", failure("4 hours"), "healthy", { unseen_seconds: 14_400 }],
  ["a failure was not looked at", failure("5 hours"), "degraded", { unseen_seconds: 18_000 }],
  ["a failure was not looked at for a day", failure("1 day"), "critical", {}],
  ["a proposal waits for a day", proposal("1 day"), "healthy", { oldest_proposal_seconds: 86_400 }],
  ["a proposal waits for 3 days", proposal("3 days"), "degraded", {
    oldest_proposal_seconds: 259_200,
  }],
  ["a proposal waits for 14 days", proposal("14 days"), "critical", {}],
]);

function causes(count: number, status = "open", reopened = 0): string {
  return repeat(
    count,
    `insert into code_failure_causes (fingerprint, error_type, normalized_traceback, status, status_changed_at, first_seen_at,
       last_seen_at, occurrences, reopened_count)
     select encode(sha256(gen_random_uuid()::text::bytea), 'hex'), 'ValueError', '', '${status}', now(), now(), now(), 1, ${reopened}`,
  );
}

function failure(ago: string): string {
  return `insert into eliza_python_executions (code, status, finished_at)
    values ('1 / 0', 'failed', now() - interval '${ago}');\n`;
}

function proposal(ago: string): string {
  return causes(1, "proposed") +
    `insert into code_fix_proposals (cause_id, request_id, status, model, diff, reasoning, confidence, reserved_tokens, created_at,
       asked_until, answered_at)
     select id, gen_random_uuid(), 'pending', 'm', 'd', 'r', 0.5, 0, now() - interval '${ago}', now(), now() - interval '${ago}'
     from code_failure_causes;\n`;
}
