import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Answers,
  checkCli,
  checkConfig,
  checkDeployed,
  checkKeys,
  checkLink,
  checkProject,
  checkRotation,
  checkSecret,
  checkVersion,
  checkWallClock,
  type Finding,
} from "../../../cli/daybook/doctor-findings.ts";
import type { Acceptance } from "../../../cli/daybook/rotate-secret-steps.ts";
import { readVersion } from "../../../local/releases.ts";

const ref = "abcdefghijklmnopqrst";
const other = "tsrqponmlkjihgfedcba";
const answers = (list: Record<string, Partial<Acceptance>>): Answers =>
  new Map(
    Object.entries(list).map(([name, answer]) => [name, { kind: "accepted", ...answer }]),
  );

/** A check, how it ends, what it says, and what mends it. */
const cases: [string, Finding, Finding["state"], RegExp, RegExp | undefined][] = [
  ["a CLI", checkCli("3.1.0\n"), "ok", /3\.1\.0/, undefined],
  ["no CLI", checkCli(undefined), "failed", /PATH/, /npm install/],
  ["an old CLI", checkCli("1.226.4"), "failed", /1\.226\.4; 2 or later/, /npm install/],
  ["another thing of that name", checkCli("hello"), "failed", /it said hello/, /npm install/],
  ["linked", checkLink(ref, ref), "ok", new RegExp(ref), undefined],
  ["linked, without a database", checkLink(ref, undefined), "ok", new RegExp(ref), undefined],
  [
    "not linked",
    checkLink(undefined, ref),
    "failed",
    /no project/,
    new RegExp(`supabase link --project-ref ${ref}`),
  ],
  [
    "linked to another",
    checkLink(ref, other),
    "failed",
    new RegExp(`${ref}.*${other}`),
    new RegExp(`update_secret.*https://${ref}`),
  ],
  ["up", checkProject(ref, [{ ref, status: "ACTIVE_HEALTHY" }], ""), "ok", /is up/, undefined],
  [
    "paused",
    checkProject(ref, [{ ref, status: "INACTIVE" }], ""),
    "failed",
    /is paused/,
    new RegExp(`dashboard/project/${ref} and restore`),
  ],
  [
    "coming up",
    checkProject(ref, [{ ref, status: "COMING_UP" }], ""),
    "failed",
    /coming up/,
    /open/,
  ],
  ["not one's own", checkProject(ref, [], ""), "failed", /none of the projects/, /supabase login/],
  [
    "not signed in",
    checkProject(ref, undefined, "Access token not provided."),
    "failed",
    /not signed in/,
    /supabase login/,
  ],
  ["the CLI fails", checkProject(ref, undefined, "boom"), "failed", /says boom/, /--debug/],
  [
    "keys of the new kind",
    checkKeys(ref, [{ type: "secret" }]),
    "ok",
    /legacy ones are off/,
    undefined,
  ],
  [
    "legacy keys alone",
    checkKeys(ref, [{ type: "legacy" }, { type: null }]),
    "warning",
    /only the legacy/,
    /api-keys and create/,
  ],
  [
    "both kinds",
    checkKeys(ref, [{ type: "legacy" }, { type: "secret" }]),
    "warning",
    /still valid/,
    /disable them/,
  ],
  ["keys unknown", checkKeys(ref, undefined), "skipped", /does not list/, undefined],
  [
    "no Daybook",
    checkConfig({ version: undefined, functions: [], behindJwt: [] }, "my-app"),
    "failed",
    /no Daybook/,
    /deno task install my-app/,
  ],
  [
    "behind verify_jwt",
    checkConfig({ version: "1.0.0", functions: ["a", "b"], behindJwt: ["b"] }, "my-app"),
    "failed",
    /for b: verify_jwt/,
    /deno task upgrade my-app/,
  ],
  [
    "config as it should be",
    checkConfig({ version: "1.0.0", functions: ["a"], behindJwt: [] }, "x"),
    "ok",
    /1 function,/,
    undefined,
  ],
  [
    "the secret is taken",
    checkSecret(answers({ a: {}, b: {} })),
    "ok",
    /2 functions took/,
    undefined,
  ],
  [
    "the secret is refused",
    checkSecret(answers({ a: {}, b: { kind: "refused" } })),
    "failed",
    /^b refuses the secret of Vault/,
    /rotate-secret --mend/,
  ],
  [
    "the gateway refuses",
    checkSecret(answers({ a: { kind: "refused", detail: "the gateway" } })),
    "failed",
    /gateway .* a: verify_jwt is on/,
    /--no-verify-jwt/,
  ],
  [
    "no CRON_SECRET",
    checkSecret(
      answers({ a: { kind: "unclear", detail: "Cannot serve: CRON_SECRET is not set" } }),
    ),
    "failed",
    /a answers otherwise: Cannot serve/,
    /rotate-secret --mend/,
  ],
  [
    "a function that does not boot",
    checkSecret(answers({ a: { kind: "unclear", detail: "HTTP 503" } })),
    "failed",
    /HTTP 503/,
    /functions deploy/,
  ],
  [
    "nobody to ask",
    checkSecret(answers({ a: { kind: "absent" } })),
    "skipped",
    /no function/,
    undefined,
  ],
  [
    "not deployed",
    checkDeployed(answers({ a: {}, b: { kind: "absent" } }), "1.0.0"),
    "failed",
    /^b is not$/,
    /functions deploy/,
  ],
  [
    "of another version",
    checkDeployed(answers({ a: { version: "1.0.0" }, b: { version: "0.9.0" }, c: {} }), "1.0.0"),
    "failed",
    /^b, c are of 0\.9\.0 and 0\.10 or a fork, and 1\.0\.0/,
    /functions deploy/,
  ],
  [
    "current",
    checkDeployed(answers({ a: { version: "1.0.0" } }), "1.0.0"),
    "ok",
    /1 function, of version 1\.0\.0/,
    undefined,
  ],
  [
    "nobody says its version",
    checkDeployed(answers({ a: { kind: "refused" } }), "1.0.0"),
    "skipped",
    /no function took/,
    undefined,
  ],
  ["migrations", checkVersion("1.0.0", "1.0.0"), "ok", /1\.0\.0/, undefined],
  ["migrations behind", checkVersion("0.9.0", "1.0.0"), "failed", /0\.9\.0.*1\.0\.0/, /db push/],
  ["no rotation", checkRotation("none"), "ok", /none/, undefined],
  ["a rotation that was left", checkRotation("prepared"), "warning", /not ended/, /rotate-secret/],
];

Deno.test("each check says how it is, and what mends it", () => {
  for (const [name, { state, detail, command }, wanted, said, mends] of cases) {
    assert.equal(state, wanted, `${name}: ${detail}`);
    assert.match(detail, said, name);
    if (mends === undefined) assert.equal(command, undefined, name);
    else assert.match(command ?? "", mends, name);
  }
});

Deno.test("the wall clock of the functions against the runs that it cut", () => {
  const said = (wallClockSeconds: string) => answers({ cron: {}, work: { wallClockSeconds } });
  const enough = checkWallClock([], said("150"));
  assert.deepEqual([enough.state, enough.command], ["ok", undefined]);
  assert.equal(checkWallClock(undefined, said("150")).detail, "the functions end after 150 s");
  const cut = checkWallClock([{ name: "a", runs: 1 }, { name: "b", runs: 2 }], said("150"));
  assert.equal(cut.state, "warning");
  assert.equal(cut.detail, "the functions end after 150 s; 3 runs of a, b were cut in seven days");
  assert.match(cut.command!, /WALL_CLOCK_LIMIT_SECONDS=400 on a paid plan/);
  const longest = checkWallClock([{ name: "a", runs: 1 }], said("400"));
  assert.match(longest.command!, /^let each run do less/);
  const tooLong = checkWallClock([], said("900"));
  assert.deepEqual([tooLong.state, tooLong.command], [
    "failed",
    "supabase secrets set WALL_CLOCK_LIMIT_SECONDS=400",
  ]);
  const invalid = checkWallClock([], said("invalid"));
  assert.deepEqual([invalid.state, invalid.command], [
    "failed",
    "supabase secrets set WALL_CLOCK_LIMIT_SECONDS=150",
  ]);
  assert.equal(checkWallClock([], answers({ cron: {} })).state, "skipped");
});

/** Runs `fn` with a project folder, and a `supabase` on the PATH that answers so. */
async function withProject(
  said: Record<string, string>,
  { linked = true }: { linked?: boolean },
  fn: (
    doctor: (...args: string[]) => Promise<{ code: number; findings: Finding[] }>,
  ) => Promise<void>,
) {
  const folder = await Deno.makeTempDir({ prefix: "daybook-doctor-" });
  const write = async (path: string, text: string, mode = 0o644) => {
    await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
    await Deno.writeTextFile(join(folder, path), text, { mode });
  };
  try {
    const version = await readVersion();
    await write(
      "app/supabase/config.toml",
      'project_id = "app"\n[functions.cron]\nverify_jwt = false\n',
    );
    const files = { "supabase/functions/cron/index.ts": "x" };
    await write(
      "app/supabase/daybook.json",
      JSON.stringify({ version, packs: ["scheduler"], files }),
    );
    if (linked) await write("app/supabase/.temp/project-ref", ref);
    const branches = Object.entries(said).map(([args, answer]) =>
      `"${args}"*) cat <<'ANSWER'\n${answer}\nANSWER\n;;`
    );
    await write(
      "bin/supabase",
      `#!/bin/sh\ncase "$*" in\n${
        branches.join("\n")
      }\n*) echo "no answer to $*" >&2; exit 1;;\nesac\n`,
      0o755,
    );
    await fn(async (...args) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", "cli/daybook.ts", "doctor", "--json"],
          ...["--project", join(folder, "app"), ...args],
        ],
        cwd: fileURLToPath(new URL("../../..", import.meta.url)),
        env: { PATH: `${folder}/bin:${Deno.env.get("PATH")}`, XDG_CONFIG_HOME: folder },
      }).output();
      const text = new TextDecoder().decode(stdout);
      assert.ok(text.startsWith("{"), new TextDecoder().decode(stderr));
      return { code, findings: JSON.parse(text).findings };
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const healthyCli = {
  "--version": "3.1.0",
  "projects list": JSON.stringify([{ ref, status: "ACTIVE_HEALTHY" }]),
  "projects api-keys": JSON.stringify([{ type: "secret", api_key: "sb_secret_hidden" }]),
  "functions list": JSON.stringify([{ slug: "cron" }]),
};
const states = (findings: Finding[]) =>
  Object.fromEntries(findings.map(({ check, state }) => [check, state]));

Deno.test("doctor, with a project whose CLI, link, keys and functions are as they should be", () =>
  withProject(healthyCli, {}, async (doctor) => {
    const { code, findings } = await doctor("--db-url", "postgres://postgres:hidden@127.0.0.1:9/x");
    assert.deepEqual(states(findings), {
      "config.toml": "ok",
      "Supabase CLI": "ok",
      link: "ok",
      project: "ok",
      "legacy keys": "ok",
      database: "failed",
    });
    const database = findings.find(({ check }) => check === "database")!;
    assert.match(database.detail, /does not answer/);
    assert.match(database.command!, /restore the project/);
    assert.doesNotMatch(JSON.stringify(findings), /hidden/);
    assert.equal(code, 1);
  }));

Deno.test("doctor, with a project that is paused", () =>
  withProject(
    { ...healthyCli, "projects list": JSON.stringify([{ ref, status: "INACTIVE" }]) },
    {},
    async (doctor) => {
      const { code, findings } = await doctor("--db-url", "postgres://127.0.0.1:9/x");
      assert.equal(states(findings).project, "failed");
      assert.equal(states(findings)["legacy keys"], undefined, "nothing more is asked of it");
      assert.equal(code, 1);
    },
  ));

Deno.test("doctor, with a folder that is not linked", () =>
  withProject(healthyCli, { linked: false }, async (doctor) => {
    const { findings } = await doctor("--db-url", "postgres://127.0.0.1:9/x");
    assert.deepEqual([states(findings).link, states(findings).project], ["failed", undefined]);
  }));

Deno.test("doctor, with functions that the project lacks", () =>
  withProject({ ...healthyCli, "functions list": "[]" }, {}, async (doctor) => {
    const { findings } = await doctor("--db-url", "postgres://127.0.0.1:9/x");
    const { detail, command } = findings.find(({ check }) => check === "functions of the project")!;
    assert.deepEqual([detail, command], ["not deployed: cron", "supabase functions deploy"]);
  }));
