import { edgePlatform } from "../../../shared/job/platform.ts";
import { serveMetrics } from "./serve.ts";

export default { fetch: serveMetrics(edgePlatform) };
