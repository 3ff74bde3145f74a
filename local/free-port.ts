/** Below what the system gives to outgoing connections, which would take a port again that is free now. */
const CHOICE = { first: 20_000, last: 31_999 };
const TRIES = 5;

/** A TCP port on loopback, from `first` to `last`, that nothing listens on at this moment. */
export function freePort({ first, last } = CHOICE): number {
  while (true) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (isPortFree(port)) return port;
  }
}

/**
 * Starts a program that wants to be told its port; with another one as long as somebody else takes the port
 * between our look and its start. `start` fails with "address in use" then.
 */
export async function startOnFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await start(freePort());
    } catch (error) {
      if (tries === TRIES || !/address (already )?in use/i.test(String(error))) throw error;
    }
  }
}

/** True when a server could listen on this port of 127.0.0.1. */
export function isPortFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}
