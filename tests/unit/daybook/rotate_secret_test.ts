import assert from "node:assert/strict";
import {
  rotateSecret,
  RotationError,
  type RotationWorld,
} from "../../../cli/daybook/rotate-secret-steps.ts";
import { Killed, longestLifeMs, MadeUpProject, oldSecret } from "../../support/made-up-rotation.ts";
import { quietRandom } from "../../support/random.ts";

const options = { settleMs: longestLifeMs + 20_000, limitMs: 600_000, mend: false };

/** Nothing was refused, the old secret is out everywhere, and nothing of the rotation is left in Vault. */
function assertRotated(project: MadeUpProject, what: string) {
  assert.deepEqual(project.refused, [], what);
  const { cron_secret, ...rest } = project.vault;
  assert.notEqual(cron_secret, oldSecret, what);
  assert.deepEqual(rest, {}, what);
  assert.deepEqual(project.stored, { CRON_SECRET: cron_secret }, what);
}

Deno.test("a rotation: no request is refused at any time, and the old secret is out", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const project = new MadeUpProject(quietRandom(seed));
    project.advance(30_000);
    const report = await rotateSecret(project.world, options);
    for (let call = 0; call < 60; call++) {
      const { kind } = await project.world.ask(project.functions[call % 3]!, oldSecret);
      assert.equal(
        kind,
        "refused",
        `seed ${seed}: the old secret is out when the rotation says so`,
      );
    }
    project.advance(2 * longestLifeMs);
    assertRotated(project, `seed ${seed}`);
    assert.deepEqual(report, {
      functions: ["cron", "nightly", "hourly"],
      not_deployed: [],
      others: [],
    });
    for (const line of project.said) assert.doesNotMatch(line, /old-|new-\d/);
  }
});

Deno.test("killed before or after any step, and called again: no request is refused", async () => {
  const whole = new MadeUpProject(quietRandom(1));
  await rotateSecret(whole.world, options);
  assert.ok(whole.effects >= 7, `${whole.effects} steps`);
  for (let effect = 0; effect < whole.effects; effect++) {
    for (const done of [false, true]) {
      for (let seed = 0; seed < 5; seed++) {
        const what = `killed ${done ? "after" : "before"} step ${effect}, seed ${seed}`;
        const project = new MadeUpProject(quietRandom(seed));
        project.killAt = { effect, done };
        await assert.rejects(rotateSecret(project.world, options), Killed, what);
        // It lies there for a while.
        project.advance(quietRandom(seed).pick([0, 5_000, 3 * longestLifeMs]));
        project.killAt = undefined;
        const isOver = effect === whole.effects - 1 && done;
        if (!isOver) await rotateSecret(project.world, options);
        project.advance(2 * longestLifeMs);
        assertRotated(project, what);
      }
    }
  }
});

Deno.test("killed again and again: it still comes to its end", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = quietRandom(seed);
    const project = new MadeUpProject(random);
    for (let kills = 0; kills < 6; kills++) {
      project.killAt = { effect: project.effects + random.whole(0, 7), done: random.chance(0.5) };
      try {
        await rotateSecret(project.world, options);
      } catch (error) {
        assert.ok(error instanceof Killed, `seed ${seed}: ${error}`);
      }
      project.advance(random.whole(0, 60_000));
      assert.deepEqual(project.refused, [], `seed ${seed}`);
    }
    project.killAt = undefined;
    await rotateSecret(project.world, options);
    project.advance(2 * longestLifeMs);
    assertRotated(project, `seed ${seed}`);
  }
});

Deno.test("functions that never take the new secret: it says which, and requests go on with the old one", async () => {
  const project = new MadeUpProject(quietRandom(7));
  const world = { ...project.world, setFunctionSecrets: () => Promise.resolve() };
  await assert.rejects(
    rotateSecret(world, options),
    (error) =>
      error instanceof RotationError && /refuses the new secret/.test(error.message) &&
      /functions deploy/.test(error.hint),
  );
  assert.equal(project.vault.cron_secret, oldSecret);
  assert.deepEqual(project.refused, []);
});

Deno.test("functions that refuse the secret of Vault: nothing is changed, but with mend", async () => {
  const project = new MadeUpProject(quietRandom(8));
  project.vault.cron_secret = "another-".repeat(5);
  await assert.rejects(
    rotateSecret(project.world, options),
    /Cannot rotate what does not work: \w+ refuses the secret of Vault/,
  );
  assert.deepEqual(project.stored, { CRON_SECRET: oldSecret });
  await rotateSecret(project.world, { ...options, mend: true });
  project.refused.length = 0;
  project.advance(2 * longestLifeMs);
  assertRotated(project, "mended");
});

Deno.test("a transaction that stays open is waited for, and named when the time is over", async () => {
  const project = new MadeUpProject(quietRandom(9));
  const database = { ...project.world.database, isOpenBefore: () => Promise.resolve(true) };
  await assert.rejects(
    rotateSecret({ ...project.world, database }, options),
    (error) =>
      error instanceof RotationError && /transaction from before/.test(error.message) &&
      /pg_stat_activity/.test(error.hint),
  );
  assert.equal(project.stored.CRON_SECRET_PREVIOUS, oldSecret, "the functions take both still");
  await rotateSecret(project.world, options);
  assertRotated(project, "gone on");
});

Deno.test("a function that is not deployed is left out and named", async () => {
  const project = new MadeUpProject(quietRandom(10));
  const world = {
    ...project.world,
    ask: (name: string, secret: string) =>
      name === "hourly"
        ? Promise.resolve({ kind: "absent" as const })
        : project.world.ask(name, secret),
  };
  const report = await rotateSecret(world, options);
  assert.deepEqual([report.functions, report.not_deployed], [["cron", "nightly"], ["hourly"]]);
});

Deno.test("functions that say nothing: no longer than the limit, and nobody is sent to mend", async () => {
  const project = new MadeUpProject(quietRandom(8));
  const silent: RotationWorld = {
    ...project.world,
    ask: () => {
      project.advance(15_000);
      return Promise.resolve({ kind: "unclear", detail: "nothing" });
    },
  };
  await assert.rejects(
    rotateSecret(silent, { ...options, limitMs: 5_000 }),
    (error) =>
      error instanceof RotationError &&
      /^Cannot rotate what does not work: \w+ says nothing to the secret of Vault$/.test(
        error.message,
      ) &&
      /daybook doctor/.test(error.hint) && !/--mend/.test(error.hint),
  );
  const oneLookMs = 15_000 * project.functions.length;
  assert.ok(project.now < 2 * oneLookMs, String(project.now));
  assert.deepEqual(project.stored, { CRON_SECRET: oldSecret });
});
