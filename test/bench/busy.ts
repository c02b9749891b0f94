/**
 * The busy third process of a benchmark: computes until it is ended, or stopped (SIGSTOP) while the floor has its own.
 */
import { parentDeathSignal, SIGKILL } from "../../shared/native.ts";

if (parentDeathSignal(SIGKILL) !== process.ppid) process.exit(1);
for (;;);
