import { edgePlatform } from "../../../shared/platform.ts";
import { serveMetrics } from "./serve.ts";

export default { fetch: serveMetrics(edgePlatform) };
