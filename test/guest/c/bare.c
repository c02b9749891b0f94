/*
 * The program's end on the bare machine: turns x87 and SSE on, and prints on the guests' console.
 * Left out: exceptions of x87 and SSE, which stay masked.
 */
#include "../guest.h"

int program(void);

void put_char(char c)
{
  print("%c", c);
}

/* 16 bytes, as SSE code expects, whatever the caller had. */
__attribute__((force_align_arg_pointer)) int main(void)
{
  units_on();
  return program();
}
