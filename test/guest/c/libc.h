/*
 * What program.c asks of a C library: from this folder on the bare machine and in build/program*-native, from the host's own C
 * library in build/program64-hosted.
 */
#ifndef LIBC_H
#define LIBC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef HOSTED
#include <immintrin.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#else
#define _MM_MALLOC_H_INCLUDED /* needs the host's stdlib.h */
#include <immintrin.h>

/* printf.c */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vprintf(const char *format, va_list args);

/* stdlib.c */
void *malloc(size_t size);
void *realloc(void *block, size_t size);
void free(void *block);
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);

/* math.c */
double sqrt(double x);
double floor(double x);
double fabs(double x);
long double sqrtl(long double x);
long double fabsl(long double x);
long double sinl(long double x);
long double cosl(long double x);
long double atanl(long double x);
long double logl(long double x);
long double expl(long double x);
long double fmodl(long double x, long double y);

/* setjmp.S */
typedef uintptr_t jmp_buf[8];
int setjmp(jmp_buf at) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf at, int value);

/* Of each end: bare.c, linux.c. */
void put_char(char c);
#endif

#endif
