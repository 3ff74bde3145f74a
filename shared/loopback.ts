/** Whether that host, as `URL.hostname` has it, is this machine. */
export const isLoopbackHost = (hostname: string): boolean =>
  ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
