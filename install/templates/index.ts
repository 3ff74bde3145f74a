import { serveJob } from "../../../shared/job/serve-job.ts";
import { job } from "./job.ts";

export default { fetch: serveJob(job) };
