/*
 * Mathematical functions for program.c, each an x87 instruction or a few.
 * Document: SDM volume 2, the instructions of the names.
 * Left out: errno, and arguments of FSIN and FCOS from 2^63 on, which stay as they are.
 */
#include "libc.h"

double sqrt(double x)
{
#ifdef __SSE2__
  return _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set1_pd(x)));
#else
  return (double)sqrtl(x);
#endif
}

double fabs(double x)
{
  return __builtin_fabs(x);
}

double floor(double x)
{
  double whole = (double)(int64_t)x;
  return fabs(x) >= 4503599627370496.0 ? x : whole > x ? whole - 1 : whole;
}

long double fabsl(long double x)
{
  __asm__("fabs" : "+t"(x));
  return x;
}

long double sqrtl(long double x)
{
  __asm__("fsqrt" : "+t"(x));
  return x;
}

long double sinl(long double x)
{
  __asm__("fsin" : "+t"(x));
  return x;
}

long double cosl(long double x)
{
  __asm__("fcos" : "+t"(x));
  return x;
}

long double atanl(long double x)
{
  __asm__("fpatan" : "=t"(x) : "0"(1.0L), "u"(x) : "st(1)");
  return x;
}

/* ln 2 * log2 x */
long double logl(long double x)
{
  long double result;
  __asm__("fldln2; fxch; fyl2x" : "=t"(result) : "0"(x));
  return result;
}

/* 2^(x log2 e), in whole and fractional part */
long double expl(long double x)
{
  long double whole, rest;
  __asm__("fldl2e; fmulp; fld %%st; frndint" : "=t"(whole), "=u"(rest) : "0"(x));
  rest -= whole;
  __asm__("f2xm1" : "+t"(rest));
  rest += 1;
  __asm__("fscale" : "+t"(rest) : "u"(whole));
  return rest;
}

long double fmodl(long double x, long double y)
{
  __asm__("1: fprem; fnstsw %%ax; testb $4, %%ah; jnz 1b" : "+t"(x) : "u"(y) : "ax", "cc");
  return x;
}
