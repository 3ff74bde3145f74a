import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { createActions } from "./actions.ts";
import { createCallback } from "./callback.ts";
import { createEdgeFunctionCall } from "./edge-function.ts";
import { execute } from "./execute.ts";
import { signingKey } from "./signature.ts";

const secretName = "CALLBACK_SIGNING_SECRET";

/** Executes the scheduled actions that are due. See docs/jobs/execute-scheduled-actions.md. */
export const job = defineJob({
  name: "execute-scheduled-actions",
  input: z.strictObject({}),
  secrets: [secretName],
  run(_input, context) {
    const secret = context.env(secretName);
    const key = secret === undefined ? undefined : signingKey(secret);
    const missing: Record<string, string> = key !== undefined ? {} : {
      [secretName]: secret === undefined
        ? "is not set: callbacks wait"
        : "must be whsec_ and the Base64 of 24 to 64 bytes: callbacks wait",
    };
    return execute(context, createActions(context), {
      edge_function: createEdgeFunctionCall(context),
      ...(key === undefined ? {} : { callback: createCallback(key, context) }),
    }, missing);
  },
});
