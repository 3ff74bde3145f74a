import assert from "node:assert/strict";
import { parseStartCommand } from "../../../cli/start-options.ts";

Deno.test("parseStartCommand() has Supabase's ports unless told", () => {
  const { gatewayPort, databasePort, once, fresh } = parseStartCommand([]);
  assert.deepEqual([gatewayPort, databasePort, once, fresh], [54321, 54322, false, false]);
  const told = parseStartCommand(["--port", "8000", "--db-port=8001", "--once", "--fresh"]);
  assert.deepEqual([told.gatewayPort, told.databasePort, told.once, told.fresh], [
    8000,
    8001,
    true,
    true,
  ]);
});

Deno.test("parseStartCommand() refuses what is no port, two equal ones and unknown options", () => {
  for (const bad of ["0", "65536", "-1", "8e3", "http", ""]) {
    assert.throws(() => parseStartCommand([`--port=${bad}`]), /--port must be a number/, bad);
  }
  assert.throws(() => parseStartCommand(["--port=1", "--db-port=1"]), /must differ/);
  assert.throws(() => parseStartCommand(["--prot=1"]), /--prot/);
  assert.throws(() => parseStartCommand(["now"]), /now/);
});
