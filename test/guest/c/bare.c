/*
 * The program's end on the bare machine: turns x87 and SSE on, and prints on the guests' console.
 * Document: SDM volume 3, 9.2 and 9.6 (initialising x87 and SSE).
 * Left out: exceptions of x87 and SSE, which stay masked.
 */
#include "../guest.h"

int program(void);

void put_char(char c)
{
  print("%c", c);
}

static void units_on(void)
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

/* 16 bytes, as SSE code expects, whatever the caller had. */
__attribute__((force_align_arg_pointer)) int main(void)
{
  units_on();
  return program();
}
