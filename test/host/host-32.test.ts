/**
 * Every description against the host's processor in 32-bit mode.
 * Document: host.test.ts.
 * Left out: hosts whose kernel runs no 32-bit code: the suite says so.
 */

import { describeHost } from "./suite.ts";

describeHost(32);
