/**
 * Thrown by the exit path through the engine to leave the guest in mid-instruction: the vCPU is to stop, or
 * immediate_exit ends KVM_RUN before another exit may begin. The engine's state is then still before the instruction.
 * Rare by construction, so an exception costs nothing that matters.
 */
export class LeaveGuest extends Error {
  constructor() {
    super("the vCPU leaves the guest");
    this.name = "LeaveGuest";
  }
}
