import assert from "node:assert/strict";
import { join } from "node:path";
import { profileFile, readProfile } from "../../../cli/daybook/profile.ts";
import { daybook } from "../../support/command-line.ts";

const secret = "a-secret-that-nobody-must-see-0123456789";

/** Reads the profile `prod` of a file with that text. */
async function withFile<T>(
  text: string,
  fn: (io: { env(name: string): string | undefined }, path: string) => Promise<T>,
) {
  const home = await Deno.makeTempDir();
  try {
    const io = { env: (name: string) => name === "XDG_CONFIG_HOME" ? home : undefined };
    const path = profileFile(io);
    await Deno.mkdir(join(home, "daybook"));
    await Deno.writeTextFile(path, text, { mode: 0o644 });
    return await fn(io, path);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

const refusal = (text: string) =>
  withFile(text, async (io) => {
    const error = await readProfile("prod", io).then(() => undefined, (error) => error);
    assert.ok(error, text);
    assert.equal(error.exitCode, 2, text);
    return `${error.message} ${error.hint}`;
  });

Deno.test("the profile file is outside the repository, where XDG says", () => {
  const file = (env: Record<string, string>) => profileFile({ env: (name) => env[name] });
  assert.equal(file({ XDG_CONFIG_HOME: "/x", HOME: "/h" }), "/x/daybook/config.toml");
  assert.equal(file({ HOME: "/h" }), "/h/.config/daybook/config.toml");
});

Deno.test("a profile names a place, the variable that holds its secret, and who acts", async () => {
  const prod = { url: "https://abc.supabase.co", cron_secret_env: "PROD_SECRET", author: "ann" };
  const text = `[prod]\n${
    Object.entries(prod).map(([key, value]) => `${key} = "${value}"`).join("\n")
  }\n[other]\ndb_url_env = "OTHER_URL"\n`;
  assert.deepEqual(await withFile(text, (io) => readProfile("prod", io)), prod);
  assert.deepEqual(await withFile(text, (io) => readProfile("other", io)), {
    db_url_env: "OTHER_URL",
  });
});

Deno.test("a secret in the profile file is refused, under whatever name, and never shown", async () => {
  const url = 'url = "https://abc.supabase.co"';
  for (
    const line of [
      `cron_secret = "${secret}"`,
      `secret = "${secret}"`,
      `db_url = "postgres://postgres:${secret}@db.example.com/postgres"`,
      `cron_secret_env = "${secret}"`,
      `token_env = ["${secret}"]`,
      `cron_secret_env = "${secret}`,
    ]
  ) {
    const message = await refusal(`[prod]\n${url}\n${line}\n`);
    assert.ok(!message.includes(secret), message);
  }
  assert.match(
    await refusal(`[prod]\n${url}\ncron_secret = "${secret}"\n`),
    /cron_secret may not be there: it holds no secret, only the name of the variable that does/,
  );
});

Deno.test("a profile that leaves open what to ask, or with what, is refused", async () => {
  assert.match(
    await refusal('[prod]\ncron_secret_env = "A"\n'),
    /needs url or db_url_env, one of them/,
  );
  assert.match(
    await refusal('[prod]\nurl = "https://a.b"\n'),
    /needs one of db_url_env, cron_secret_env/,
  );
  assert.match(
    await refusal('[prod]\nurl = "https://a.b"\ncron_secret_env = "A"\ntoken_env = "B"\n'),
    /needs one of/,
  );
  assert.match(
    await refusal('[stage]\nurl = "https://a.b"\n'),
    /none of that name the profiles are: stage/,
  );
});

Deno.test(
  "a profile file that others may write is refused: they could send the secret to a place of theirs",
  {
    ignore: Deno.build.os === "windows",
  },
  async () => {
    await withFile('[prod]\nurl = "https://a.b"\ncron_secret_env = "A"\n', async (io, path) => {
      for (const mode of [0o664, 0o646]) {
        await Deno.chmod(path, mode);
        await assert.rejects(readProfile("prod", io), {
          message: `Cannot use the profile prod: others may write ${path}`,
          hint: `chmod go-w ${path}`,
        });
      }
      await Deno.chmod(path, 0o600);
      assert.equal((await readProfile("prod", io)).cron_secret_env, "A");
    });
  },
);

Deno.test("a profile whose variable is not set says which, and where it is missing", async () => {
  const home = await Deno.makeTempDir();
  try {
    const env = { XDG_CONFIG_HOME: home };
    const missing = await daybook(["status", "--profile", "prod"], { env });
    assert.deepEqual([missing.code, missing.stderr], [
      2,
      `Cannot use the profile prod: there is no ${home}/daybook/config.toml\nhint: docs/command-line.md shows one`,
    ]);
    await Deno.mkdir(join(home, "daybook"));
    await Deno.writeTextFile(
      join(home, "daybook", "config.toml"),
      '[prod]\nurl = "https://a.b"\ncron_secret_env = "PROD_SECRET"\n[db]\ndb_url_env = "DB_URL"\n',
      { mode: 0o600 },
    );
    const unset = await daybook(["status", "--profile", "prod"], {
      env: { ...env, CRON_SECRET: "x" },
    });
    assert.deepEqual([unset.code, unset.stderr], [
      2,
      "The profile prod needs PROD_SECRET, which is not set",
    ]);
    const noUrl = await daybook(["status", "--profile", "db"], { env });
    assert.deepEqual([noUrl.code, noUrl.stderr], [
      2,
      "The profile db needs DB_URL, which is not set",
    ]);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
