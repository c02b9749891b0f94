/*
 * The guests' small runtime: what every program here may call.
 * Programs define main(); a zero result means that all went well.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef uintptr_t word; /* a register: 32 or 64 bits */

int main(void);

/* boot.c: what the loader told us, in one form for multiboot and PVH. */
struct boot {
  const char *protocol; /* "multiboot" or "PVH" */
  const char *options;  /* command line without the kernel's file name */
  u32 memory_mib;       /* end of the RAM below 4 GiB */
  const char *module;   /* name of the first module, NULL: there is none */
  u32 module_at, module_size;
};
extern struct boot boot;

/* Copies the value of `name=value` on the command line; false where it is not there. */
bool option(const char *name, char *value, size_t size);
/* The same for a number, decimal or 0x hexadecimal. */
u32 option_number(const char *name, u32 otherwise);

/* console.c */
extern u32 console_waits; /* polls that found the transmitter busy */
void console_init(void);
/* %s %c %d %u %x, with a width and a leading 0 if wanted: %8u %08x %14s. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the machine through isa-debug-exit, with status 33 for 0 and 35 for 1 (what is written << 1 | 1). */
_Noreturn void leave(u8 value);

/* interrupts.c */
void interrupts_init(void);
void irq_handle(unsigned irq, void (*handler)(void));

static inline void interrupts_off(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void interrupts_on(void) { __asm__ volatile("sti" ::: "memory"); }
/* STI holds interrupts off for one more instruction, so none can slip in before the HLT and be slept through. */
static inline void interrupts_on_and_halt(void) { __asm__ volatile("sti; hlt" ::: "memory"); }
/* For good: a loop, since an NMI would end the HLT. */
static inline _Noreturn void halt(void)
{
  for (;;)
    __asm__ volatile("cli; hlt");
}

/* Turns x87 and SSE on (SDM volume 3, 9.2 and 9.6); interrupt handlers save none of it. */
static inline void units_on(void)
{
  word cr0, cr4;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  cr0 = (cr0 & ~(word)0xc) | 0x22; /* not EM, not TS; MP, NE */
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
  __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
  cr4 |= 0x600; /* OSFXSR, OSXMMEXCPT */
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
  __asm__ volatile("fninit");
}

/* lib.c */
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int strcmp(const char *a, const char *b);
u32 crc32(const void *data, size_t n);

#endif
