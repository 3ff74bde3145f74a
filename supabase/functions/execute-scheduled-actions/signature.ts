import { Webhook } from "standardwebhooks";

/** The key in a signing secret: `whsec_` and the Base64 of 24 to 64 bytes. Undefined for any other text. */
export function signingKey(secret: string): Uint8Array | undefined {
  const text = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret.trim())?.[1];
  if (text === undefined) return undefined;
  const key = bytesOf(text);
  return key !== undefined && key.length >= 24 && key.length <= 64 ? key : undefined;
}

function bytesOf(base64: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return undefined; // Base64 never has this length
  }
}

/**
 * The headers of a signed callback by the Standard Webhooks specification 1.0.0.
 *
 * @param id The idempotency key; the same for every try.
 * @param at The moment of this try.
 */
export function signatureHeaders(
  key: Uint8Array,
  id: string,
  at: Date,
  body: string,
): Record<string, string> {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": new Webhook(key, { format: "raw" }).sign(id, at, body),
  };
}
