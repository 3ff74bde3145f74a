import { serveJob } from "../../../shared/serve-job.ts";
import { job } from "./job.ts";

export default { fetch: serveJob(job) };
