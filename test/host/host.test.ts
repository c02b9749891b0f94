/**
 * Every description against the host's processor in 64-bit mode: registers, flags, x87, MMX and SSE, memory, faults, on every engine.
 * Document: generate.ts (what is varied), not-run.ts (what is left out, and why), undefined-flags.ts, not-compared.ts.
 * Left out: 32-bit mode: host-32.test.ts; long runs with other seeds: `make fuzz-cpu`.
 */

import { describeHost } from "./suite.ts";

describeHost(64);
