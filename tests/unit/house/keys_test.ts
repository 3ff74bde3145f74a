import assert from "node:assert/strict";
import { join } from "node:path";
import { loadKeys } from "../../../local/keys.ts";

async function withDirectory(fn: (directory: string) => Promise<void>) {
  const directory = await Deno.makeTempDir();
  try {
    await fn(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("the keys of a data directory are made once, at random, and kept for their owner alone", () =>
  withDirectory(async (directory) => {
    const [first, other] = [join(directory, "first"), join(directory, "other")];
    const keys = await loadKeys(first);
    assert.deepEqual(await loadKeys(first), keys);
    assert.equal((await Deno.stat(join(first, "keys.json"))).mode! & 0o777, 0o600);
    const others = await loadKeys(other);
    assert.notEqual(others.demoUser.password, keys.demoUser.password);
    assert.notEqual(others.userSigningKey.d, keys.userSigningKey.d);
    assert.notEqual(others.userSigningKey.kid, keys.userSigningKey.kid);
  }));

Deno.test("keys of a version without users stay, and get what signs users in", () =>
  withDirectory(async (directory) => {
    const { userSigningKey: _, demoUser: __, ...old } = await loadKeys(directory);
    const file = join(directory, "keys.json");
    await Deno.writeTextFile(file, JSON.stringify(old));
    const keys = await loadKeys(directory);
    const { userSigningKey, demoUser, ...kept } = keys;
    assert.deepEqual(kept, old);
    assert.ok(userSigningKey.d && demoUser.password.length > 20);
    assert.deepEqual(await loadKeys(directory), keys);
  }));

Deno.test("keys that cannot be read are named, and not replaced", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    await Deno.writeTextFile(file, "{");
    await assert.rejects(loadKeys(directory), /Cannot read the keys in .*keys\.json/);
    assert.equal(await Deno.readTextFile(file), "{");
  }));
