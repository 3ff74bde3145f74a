import { serveJob } from "../../../../shared/job/serve-job.ts";
import { job } from "../fickle/job.ts";

const serve = serveJob({ ...job, name: "mute" });
const woken = Promise.withResolvers<void>();

/** Holds a first attempt before it is even looked at, until the second one has been answered. */
export default {
  async fetch(request: Request): Promise<Response> {
    const isFirst = request.headers.get("x-attempt") === "1";
    if (isFirst) await woken.promise;
    const response = await serve(request);
    console.log(`mute answered attempt ${request.headers.get("x-attempt")}: ${response.status}`);
    if (!isFirst) woken.resolve();
    return response;
  },
};
