/**
 * kvm-core with one more signal: SIGUSR2 calls process.exit() at once, without the order of SIGTERM.
 */
process.on("SIGUSR2", () => process.exit(7));
await import("../../kvm-core/main.ts");
