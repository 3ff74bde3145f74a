import { edgePlatform } from "../../../shared/job/platform.ts";
import { serveApi } from "./serve.ts";

export default { fetch: serveApi(edgePlatform) };
