import assert from "node:assert/strict";
import {
  signatureHeaders,
  signingKey,
} from "../../../supabase/functions/execute-scheduled-actions/signature.ts";

Deno.test("a callback is signed as the test vector of Standard Webhooks' libraries", () => {
  const key = signingKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  assert.ok(key);
  assert.deepEqual(
    signatureHeaders(
      key,
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      new Date(1_614_265_330_999),
      '{"test": 2432232314}',
    ),
    {
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
  );
});

Deno.test("a signing secret is whsec_ and the Base64 of 24 to 64 bytes", () => {
  const of = (bytes: number) => "whsec_" + btoa("k".repeat(bytes));
  assert.equal(signingKey(of(24))?.length, 24);
  assert.equal(signingKey(` ${of(64)}\n`)?.length, 64);
  for (
    const secret of [
      of(23),
      of(65),
      `${of(24)}a`,
      of(32).slice(6),
      "whsec_",
      "whsec_not base64 at all!!!!!!!!!!!!!!!!",
    ]
  ) {
    assert.equal(signingKey(secret), undefined, secret);
  }
});
