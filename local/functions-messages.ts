/** What the server of the functions and the worker of one function say to each other. */

/** Why a worker is about to end; the names are those of Supabase's edge runtime. */
export type UnloadReason = "wall_clock" | "early_drop" | "termination";

export type ToWorker =
  | { type: "boot"; module: string }
  | {
    type: "request";
    id: number;
    method: string;
    url: string;
    headers: [string, string][];
    /** Moved, not copied: what the function does not read is not sent. */
    body: ReadableStream<Uint8Array> | null;
  }
  | { type: "unload"; reason: UnloadReason };

export type FromWorker =
  | { type: "booted" }
  | { type: "boot_failed"; message: string }
  | {
    type: "response";
    id: number;
    status: number;
    headers: [string, string][];
    body: ArrayBuffer | null;
  }
  | { type: "request_failed"; id: number; message: string }
  /** How many requests and `waitUntil` promises it has not finished. */
  | { type: "pending"; count: number };
