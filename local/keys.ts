/** The secrets of one stack: made at random with its data and kept beside it, so no two stacks share any. */
import { Buffer } from "node:buffer";
import { createHmac, generateKeyPairSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { JWK } from "jose";
import { type AuthUser, makeUser } from "./auth.ts";

export interface StackKeys {
  /** `sb_secret_…`: full rights, for servers. */
  secretKey: string;
  /** `sb_publishable_…`: no rights of its own, for browsers. */
  publishableKey: string;
  /** The older form of the secret key, a JWT. */
  serviceRoleKey: string;
  /** The older form of the publishable key, a JWT. */
  anonKey: string;
  /** What pg_cron's requests carry. */
  cronSecret: string;
  /** Who can sign in from the first start on. */
  demoUser: AuthUser;
  /** What the functions take beside it while it is rotated. */
  previousCronSecret?: string;
}

export interface StoredKeys extends StackKeys {
  jwtSecret: string;
  /** The password of the roles postgres, authenticator and supabase_admin. */
  databasePassword: string;
  /** The private key of ES256 with which users' tokens are signed. */
  userSigningKey: JWK;
}

/** Reads the keys of a data directory, or makes them. */
export async function loadKeys(dataDirectory: string): Promise<StoredKeys> {
  const file = keysFile(dataDirectory);
  const stored = await readKeys(file);
  // Data of an older version has no users yet.
  if (stored?.userSigningKey !== undefined) return stored as StoredKeys;
  const keys = { ...makeKeys(), ...stored };
  await Deno.mkdir(dataDirectory, { recursive: true });
  await writeKeys(file, keys);
  return keys;
}

/** In one step, so that who is stopped here leaves no half of it. */
async function writeKeys(file: string, keys: StoredKeys): Promise<void> {
  const unfinished = `${file}.unfinished`;
  await Deno.writeTextFile(unfinished, JSON.stringify(keys, null, 2), { mode: 0o600 });
  await Deno.rename(unfinished, file);
}

export const keysFile = (dataDirectory: string) => join(dataDirectory, "keys.json");

/**
 * Changes which cron secrets the functions of a stack take, also of one that runs: they look at the file with each
 * request. Null takes a variable out.
 */
export async function changeCronSecrets(
  dataDirectory: string,
  { CRON_SECRET, CRON_SECRET_PREVIOUS }: Record<string, string | null>,
): Promise<void> {
  const { previousCronSecret: previous, ...keys } = await loadKeys(dataDirectory);
  const kept = CRON_SECRET_PREVIOUS === undefined ? previous : CRON_SECRET_PREVIOUS;
  await writeKeys(keysFile(dataDirectory), {
    ...keys,
    ...(CRON_SECRET ? { cronSecret: CRON_SECRET } : {}),
    ...(kept ? { previousCronSecret: kept } : {}),
  });
}

/** The variables of the functions that hold the cron secrets; null for one that is not set. */
export function cronVariables(keys: StackKeys): Record<string, string | null> {
  return { CRON_SECRET: keys.cronSecret, CRON_SECRET_PREVIOUS: keys.previousCronSecret ?? null };
}

async function readKeys(file: string): Promise<Partial<StoredKeys> | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new Error(`Cannot read the keys in ${file}: start with --fresh to make new ones`, {
      cause: error,
    });
  }
}

/** The same on every machine, since databases may be kept without the keys; the password is not. */
const DEMO_USER_ID = "daeb0000-0000-4000-8000-000000000001";

function makeKeys(): StoredKeys {
  const jwtSecret = randomBytes(32).toString("hex");
  return {
    secretKey: `sb_secret_${randomBytes(24).toString("base64url")}`,
    publishableKey: `sb_publishable_${randomBytes(24).toString("base64url")}`,
    serviceRoleKey: signJwt("service_role", jwtSecret),
    anonKey: signJwt("anon", jwtSecret),
    cronSecret: randomBytes(32).toString("hex"),
    jwtSecret,
    databasePassword: randomBytes(16).toString("hex"),
    userSigningKey: {
      ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }),
      kid: crypto.randomUUID(),
    } as JWK,
    demoUser: makeUser("operator@daybook.example", DEMO_USER_ID),
  };
}

const TEN_YEARS_IN_SECONDS = 10 * 365 * 24 * 3600;

function signJwt(role: string, secret: string): string {
  const expiresAt = Math.floor(Date.now() / 1000) + TEN_YEARS_IN_SECONDS;
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const content = [
    encode({ alg: "HS256", typ: "JWT" }),
    // Without the time of issue: PostgREST would refuse a key that a clock set ahead has made.
    encode({ iss: "supabase-local", role, exp: expiresAt }),
  ].join(".");
  return `${content}.${createHmac("sha256", secret).update(content).digest("base64url")}`;
}
