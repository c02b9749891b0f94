/*
 * Executes single floating-point instructions on the host's processor and tells what they did.
 * Document: SDM volume 1, 10.5 (the FXSAVE image), 11.5.4 (how SSE exceptions are reported); test/kvm-core/float/host.ts is
 * the other side of the two structures below.
 * Leaves out: instructions that reach beyond XMM0, XMM1, ST, RAX, RFLAGS and the 16 bytes at RDI.
 *
 * An unmasked SSE exception raises SIGFPE, whose handler goes on behind the instruction, with all exceptions masked. An
 * unmasked x87 exception stays pending, and FXSAVE does not look at it.
 *
 * stdin: u32 cases, struct request[cases]; stdout: struct result[cases].
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define RET 0xc3
#define ALL_MASKED 0x1f80

struct request {
  uint8_t code[16];
  uint32_t length, mxcsr, fcw, tags; /* tags: bit i, ST(i) is not empty */
  uint64_t rax;
  uint8_t memory[16], xmm[2][16], st[2][16];
};
struct result {
  uint64_t rax;
  uint32_t flags, mxcsr, fsw, faulted;
  uint8_t memory[16], xmm0[16], st[2][16];
};
/* FXSAVE64: SDM volume 1, table 10-2. */
struct image {
  uint16_t fcw, fsw;
  uint8_t tags, reserved, fop[2];
  uint64_t fip, fdp;
  uint32_t mxcsr, mxcsr_mask;
  uint8_t st[8][16], xmm[16][16], rest[96];
} __attribute__((aligned(16)));

static uint8_t *code;
static uint32_t length;
static volatile uint32_t faulted;

static void fail(const char *what) {
  fprintf(stderr, "host-float: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void read_all(void *to, size_t size) {
  for (uint8_t *at = to; size > 0;) {
    ssize_t got = read(0, at, size);
    if (got <= 0) fail("stdin ended early");
    at += got;
    size -= got;
  }
}

static void on_exception(int signal, siginfo_t *info, void *context) {
  (void)info;
  mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
  if (machine->gregs[REG_RIP] != (greg_t)code) {
    fprintf(stderr, "host-float: signal %d outside a case\n", signal);
    _exit(1);
  }
  faulted = 1;
  machine->fpregs->mxcsr |= ALL_MASKED;
  machine->gregs[REG_RIP] += length;
}

static void execute(const struct request *request, struct result *result) {
  static struct image before, after;
  memset(&before, 0, sizeof before);
  before.fcw = request->fcw;
  before.tags = request->tags;
  before.mxcsr = request->mxcsr;
  memcpy(before.st, request->st, sizeof request->st);
  memcpy(before.xmm, request->xmm, sizeof request->xmm);
  memcpy(result->memory, request->memory, sizeof result->memory);
  memcpy(code, request->code, request->length);
  code[request->length] = RET;
  length = request->length;
  faulted = 0;
  uint64_t rax = request->rax, flags, saved = ALL_MASKED;
  __asm__ volatile(
      "fxrstor64 %[before]\n\t"
      "call *%[code]\n\t"
      "fxsave64 %[after]\n\t"
      "pushfq; popq %[flags]\n\t"
      "fninit; ldmxcsr %[saved]"
      : "+a"(rax), [after] "=m"(after), [flags] "=&r"(flags)
      : [before] "m"(before), [code] "r"(code), [saved] "m"(saved), "D"(result->memory)
      : "memory", "cc", "rcx", "rdx", "xmm0", "xmm1");
  result->rax = rax;
  result->flags = flags;
  result->mxcsr = after.mxcsr;
  result->fsw = after.fsw;
  result->faulted = faulted;
  memcpy(result->xmm0, after.xmm[0], sizeof result->xmm0);
  memcpy(result->st, after.st, sizeof result->st);
}

int main(void) {
  uint32_t cases;
  read_all(&cases, sizeof cases);
  struct request *requests = calloc(cases, sizeof *requests);
  struct result *results = calloc(cases, sizeof *results);
  code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (requests == NULL || results == NULL || code == MAP_FAILED) fail("memory");
  read_all(requests, cases * sizeof *requests);
  struct sigaction action = {.sa_sigaction = on_exception, .sa_flags = SA_SIGINFO};
  if (sigaction(SIGFPE, &action, NULL) != 0) fail("sigaction");
  for (uint32_t i = 0; i < cases; i++) execute(&requests[i], &results[i]);
  for (size_t done = 0, size = cases * sizeof *results; done < size;) {
    ssize_t put = write(1, (uint8_t *)results + done, size - done);
    if (put < 0 && errno != EINTR) fail("stdout");
    if (put > 0) done += put;
  }
  return 0;
}
