/*
 * A program as compilers make them of ordinary C: printf with %f and %Lf, qsort, malloc, atomics, setjmp, long double
 * arithmetic, SSE intrinsics. It prints the same lines wherever it runs.
 * Document: ISO C17; the intrinsics are those of SDM volume 2, appendix C.
 * Left out: what would differ between C libraries: addresses, the last digits of transcendental functions.
 */
#include "libc.h"

static uint64_t seed = 88172645463325252u; /* Marsaglia's, for this xorshift */

static uint64_t next_random(void)
{
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

/* In [0, 1). */
static double next_double(void)
{
  return (double)(next_random() >> 11) * (1.0 / 9007199254740992.0);
}

static void formats(void)
{
  static const double values[] = {0,       -0.0,     1,        -1.5,     0.1,     1.0 / 3,      2.5,     3.5,   1e10,
                                  1e22,    1e23,     1e100,    1e-5,     1e-300,  5e-324,       123456.789,
                                  9.9995,  99999.95, 0.000123, 1e15 + .3, 1.7976931348623157e308, 2.2250738585072014e-308};
  printf("[%5d|%-5d|%05d|%+d|% d|%x|%#x|%o|%c|%s|%.2s|%8s|%-8s|%%]\n", 42, 42, 42, 42, 42, 255, 255, 8, 'c', "text", "text",
         "text", "text");
  printf("%lld %llu %llx %d %u\n", -9223372036854775807LL - 1, 18446744073709551615ULL, 0x123456789abcdefULL, -2147483647 - 1,
         4294967295u);
  for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
    printf("%f %.0f %.3f %12.4f %e %.15e %g %.17g\n", values[i], values[i], values[i], values[i], values[i], values[i],
           values[i], values[i]);
  for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
    printf("%Lf %.20Lf %Le %.18Lg\n", (long double)values[i] / 3, (long double)values[i] / 7, (long double)values[i] / 9,
           (long double)values[i] * 1.1L);
  volatile double zero = 0;
  printf("%f %f %f %g %Lf\n", 1 / zero, -1 / zero, zero / zero < 0 ? 1.0 : 0.0, 1 / zero, (long double)(1 / zero));
}

static int by_value(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void sorting(void)
{
  enum { N = 5000 };
  double *values = malloc(N * sizeof *values), sum = 0;
  for (int i = 0; i < N; i++)
    values[i] = next_double() * 2000 - 1000;
  qsort(values, N, sizeof *values, by_value);
  int ordered = 1;
  for (int i = 1; i < N; i++) {
    ordered &= values[i - 1] <= values[i];
    sum += values[i] * i;
  }
  printf("sorted %d: %.10f %.10f %.10f, %.10e\n", ordered, values[0], values[N / 2], values[N - 1], sum);
  free(values);
}

struct node {
  struct node *next;
  unsigned size;
  unsigned char bytes[];
};

static void memory(void)
{
  struct node *list = NULL;
  unsigned wrong = 0, blocks = 0, bytes = 0;
  for (int round = 0; round < 2000; round++) {
    unsigned size = (unsigned)(next_random() % 1500);
    struct node *node = malloc(sizeof *node + size);
    if (node == NULL) {
      printf("no memory\n");
      return;
    }
    node->size = size;
    memset(node->bytes, (int)(size & 255), size);
    node->next = list;
    list = node;
    /* Every third goes again, from the middle of the list. */
    if (round % 3 == 0 && list->next != NULL) {
      struct node *gone = list->next;
      list->next = gone->next;
      free(gone);
    }
    if (round % 50 == 0)
      list = realloc(list, sizeof *node + size);
  }
  while (list != NULL) {
    for (unsigned i = 0; i < list->size; i++)
      wrong += list->bytes[i] != (list->size & 255);
    blocks++;
    bytes += list->size;
    struct node *next = list->next;
    free(list);
    list = next;
  }
  printf("memory: %u blocks, %u bytes, %u wrong\n", blocks, bytes, wrong);
}

static void atomics(void)
{
  static volatile unsigned char byte;
  static volatile unsigned short half;
  static volatile unsigned word;
  static volatile uint64_t both __attribute__((aligned(8)));
  unsigned failed = 0;
  for (unsigned i = 0; i < 1000; i++) {
    __atomic_fetch_add(&byte, 3, __ATOMIC_SEQ_CST);
    __atomic_fetch_xor(&half, (unsigned short)i, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&word, i << 7, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&word, ~i, __ATOMIC_SEQ_CST);
    __sync_fetch_and_add(&both, 0x100000001ull);
    unsigned expected = i & 1 ? word : word + 1;
    failed += !__atomic_compare_exchange_n(&word, &expected, word + 5, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&half, (unsigned short)(half + 1), __ATOMIC_SEQ_CST);
  }
  __sync_synchronize();
  printf("atomics: %u %u %u %llx, %u failed\n", byte, half, word, (unsigned long long)both, failed);
}

static jmp_buf back;

static int deep(int n)
{
  volatile double here = n * 1.5;
  if (n == 0)
    longjmp(back, 7);
  if (n < 0)
    return 0;
  return deep(n - 1) + (int)here;
}

static void jumps(void)
{
  volatile int count = 0;
  int value = setjmp(back);
  count = count + 1;
  if (value == 0)
    printf("not reached %d\n", deep(50));
  else if (count < 5)
    longjmp(back, value + count);
  printf("setjmp: %d, %d times\n", value, count);
}

static long double power(long double x, unsigned n)
{
  long double result = 1;
  for (; n > 0; n >>= 1, x *= x)
    if (n & 1)
      result *= x;
  return result;
}

static void long_doubles(void)
{
  long double pi = 16 * 0.0L, term, sum = 0;
  for (int k = 0; k < 30; k++) {
    long double sign = k & 1 ? -1 : 1;
    pi += sign * (16 / (power(5, 2 * k + 1) * (2 * k + 1)) - 4 / (power(239, 2 * k + 1) * (2 * k + 1)));
  }
  printf("pi %.18Lf, sin pi/6 %.15Lf, cos pi/3 %.15Lf, 4 atan 1 %.15Lf\n", pi, sinl(pi / 6), cosl(pi / 3), 4 * atanl(1));
  term = 1;
  for (int n = 1; n < 30; n++) {
    sum += term;
    term /= n;
  }
  printf("e %.18Lf, exp 1 %.14Lf, log 10 %.15Lf, exp log 3 %.14Lf\n", sum, expl(1), logl(10), expl(logl(3)));
  for (int i = 1; i <= 10; i++)
    printf("sqrt %.18Lf fmod %.18Lf pow %.9Lf trunc %lld %d\n", sqrtl(i), fmodl(1000.125L * i, 7.3L), power(1.0625L, i * 9),
           (long long)(sqrtl(i) * 1e15L), (int)(-i * 1.75L));
  volatile long double tiny = 1e-4930L, huge = 1e4930L;
  printf("%Le %Le %Le %d\n", tiny * 1e-5L, huge * 10, tiny * huge, huge * 1e10L > huge);
}

enum { BODIES = 5 };
static struct body {
  double x[3], v[3], mass;
} bodies[BODIES];

static double energy(void)
{
  double e = 0;
  for (int i = 0; i < BODIES; i++) {
    for (int k = 0; k < 3; k++)
      e += 0.5 * bodies[i].mass * bodies[i].v[k] * bodies[i].v[k];
    for (int j = i + 1; j < BODIES; j++) {
      double d = 0;
      for (int k = 0; k < 3; k++)
        d += (bodies[i].x[k] - bodies[j].x[k]) * (bodies[i].x[k] - bodies[j].x[k]);
      e -= bodies[i].mass * bodies[j].mass / sqrt(d);
    }
  }
  return e;
}

/*
 * Prints fewer digits than there are: with 387 arithmetic the compiler decides where a double is rounded, which is
 * the same for all builds of one mode.
 */
static void simulation(void)
{
  for (int i = 0; i < BODIES; i++) {
    bodies[i].mass = 1 + i * 0.25;
    for (int k = 0; k < 3; k++) {
      bodies[i].x[k] = next_double() * 10 - 5;
      bodies[i].v[k] = next_double() - 0.5;
    }
  }
  printf("energy %.9f\n", energy());
  for (int step = 0; step < 1000; step++) {
    for (int i = 0; i < BODIES; i++)
      for (int j = i + 1; j < BODIES; j++) {
        double d[3], square = 0.01;
        for (int k = 0; k < 3; k++) {
          d[k] = bodies[i].x[k] - bodies[j].x[k];
          square += d[k] * d[k];
        }
        double pull = 0.001 / (square * sqrt(square));
        for (int k = 0; k < 3; k++) {
          bodies[i].v[k] -= d[k] * bodies[j].mass * pull;
          bodies[j].v[k] += d[k] * bodies[i].mass * pull;
        }
      }
    for (int i = 0; i < BODIES; i++)
      for (int k = 0; k < 3; k++)
        bodies[i].x[k] += 0.001 * bodies[i].v[k];
  }
  printf("energy %.9f\n", energy());
}

static void conversions(void)
{
  static const double values[] = {0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -2147483648.0, 4294967295.0, 1e18, -9e18};
  for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
    volatile double v = values[i];
    volatile float f = (float)v;
    printf("%lld %.9f %.1f %.1f %lld", (long long)v, (double)f, floor(v), fabs(v), (long long)(v + f));
    printf(v >= 0 && v < 4294967296.0 ? " %u\n" : " -\n", v >= 0 && v < 4294967296.0 ? (unsigned)v : 0);
  }
  volatile int64_t a = -1234567890123456789, b = 987654321;
  volatile uint64_t c = 18446744073709551557u;
  printf("%lld %lld %llu %llu %.6f %.6f\n", (long long)(a / b), (long long)(a % b), (unsigned long long)(c / 97),
         (unsigned long long)(c % 97), (double)a, (double)c);
}

static void print_vector(const char *name, __m128i v)
{
  uint32_t words[4];
  _mm_storeu_si128((__m128i *)words, v);
  printf("%-10s %08x %08x %08x %08x\n", name, words[3], words[2], words[1], words[0]);
}

#define INTEGER(name, ...) print_vector(name, __VA_ARGS__)
#define SINGLE(name, ...) print_vector(name, _mm_castps_si128(__VA_ARGS__))
#define DOUBLE(name, ...) print_vector(name, _mm_castpd_si128(__VA_ARGS__))

static void intrinsics(void)
{
  uint64_t r[4] __attribute__((aligned(16)));
  for (int i = 0; i < 4; i++)
    r[i] = next_random();
  __m128i a = _mm_load_si128((const __m128i *)r), b = _mm_load_si128((const __m128i *)(r + 2));
  INTEGER("paddd", _mm_add_epi32(a, b));
  INTEGER("paddsw", _mm_adds_epi16(a, b));
  INTEGER("psubusb", _mm_subs_epu8(a, b));
  INTEGER("pmaddwd", _mm_madd_epi16(a, b));
  INTEGER("pmulhuw", _mm_mulhi_epu16(a, b));
  INTEGER("pmuludq", _mm_mul_epu32(a, b));
  INTEGER("psadbw", _mm_sad_epu8(a, b));
  INTEGER("pavgb", _mm_avg_epu8(a, b));
  INTEGER("packuswb", _mm_packus_epi16(a, b));
  INTEGER("punpcklbw", _mm_unpacklo_epi8(a, b));
  INTEGER("pshufd", _mm_shuffle_epi32(a, 0x1b));
  INTEGER("psrldq", _mm_srli_si128(a, 5));
  INTEGER("psraw", _mm_srai_epi16(a, 3));
  INTEGER("psllq", _mm_sll_epi64(a, _mm_set_epi32(0, 0, 0, 7)));
  INTEGER("pcmpgtd", _mm_cmpgt_epi32(a, b));
  INTEGER("pshufb", _mm_shuffle_epi8(a, b));
  INTEGER("palignr", _mm_alignr_epi8(a, b, 6));
  INTEGER("phaddd", _mm_hadd_epi32(a, b));
  INTEGER("pabsw", _mm_abs_epi16(a));
  INTEGER("psignd", _mm_sign_epi32(a, b));
  INTEGER("pmulhrsw", _mm_mulhrs_epi16(a, b));
  INTEGER("pmaddubsw", _mm_maddubs_epi16(a, b));
  INTEGER("pmulld", _mm_mullo_epi32(a, b));
  INTEGER("pminsb", _mm_min_epi8(a, b));
  INTEGER("pmaxud", _mm_max_epu32(a, b));
  INTEGER("pmovsxbw", _mm_cvtepi8_epi16(a));
  INTEGER("pblendvb", _mm_blendv_epi8(a, b, _mm_cmpgt_epi8(a, b)));
  INTEGER("pblendw", _mm_blend_epi16(a, b, 0x5a));
  INTEGER("phminposuw", _mm_minpos_epu16(a));
  INTEGER("mpsadbw", _mm_mpsadbw_epu8(a, b, 5));
  INTEGER("pcmpeqq", _mm_cmpeq_epi64(a, a));
  INTEGER("pcmpgtq", _mm_cmpgt_epi64(a, b));
  printf("pmovmskb %x ptest %d %d pextrb %d pextrd %x\n", (unsigned)_mm_movemask_epi8(a), _mm_testz_si128(a, b),
         _mm_testc_si128(a, b), _mm_extract_epi8(a, 9), (unsigned)_mm_extract_epi32(a, 2));

  __m128 x = _mm_cvtepi32_ps(a), y = _mm_div_ps(_mm_cvtepi32_ps(b), _mm_set1_ps(65536));
  SINGLE("addps", _mm_add_ps(x, y));
  SINGLE("subps", _mm_sub_ps(x, y));
  SINGLE("mulps", _mm_mul_ps(x, y));
  SINGLE("divps", _mm_div_ps(x, y));
  SINGLE("sqrtps", _mm_sqrt_ps(_mm_mul_ps(x, x)));
  SINGLE("minps", _mm_min_ps(x, y));
  SINGLE("cmpltps", _mm_cmplt_ps(x, y));
  SINGLE("shufps", _mm_shuffle_ps(x, y, 0x4e));
  SINGLE("haddps", _mm_hadd_ps(x, y));
  SINGLE("addsubps", _mm_addsub_ps(x, y));
  SINGLE("dpps", _mm_dp_ps(y, y, 0x7f));
  SINGLE("roundps", _mm_round_ps(y, _MM_FROUND_TO_NEG_INF));
  SINGLE("insertps", _mm_insert_ps(x, y, 0x92));
  SINGLE("blendps", _mm_blend_ps(x, y, 5));
  INTEGER("cvtps2dq", _mm_cvtps_epi32(y));
  INTEGER("cvttps2dq", _mm_cvttps_epi32(y));
  __m128d p = _mm_cvtepi32_pd(a), q = _mm_cvtps_pd(y);
  DOUBLE("addpd", _mm_add_pd(p, q));
  DOUBLE("divpd", _mm_div_pd(p, q));
  DOUBLE("sqrtpd", _mm_sqrt_pd(_mm_mul_pd(p, p)));
  DOUBLE("maxpd", _mm_max_pd(p, q));
  DOUBLE("dppd", _mm_dp_pd(p, q, 0x31));
  DOUBLE("roundpd", _mm_round_pd(q, _MM_FROUND_TO_NEAREST_INT));
  SINGLE("cvtpd2ps", _mm_cvtpd_ps(q));
  printf("cvtsd2si %d cvttss2si %d comisd %d ucomiss %d movmskps %d\n", _mm_cvtsd_si32(q), _mm_cvttss_si32(y),
         _mm_comilt_sd(p, q), _mm_ucomieq_ss(x, x), _mm_movemask_ps(x));
  printf("crc32 %x popcnt %d\n", _mm_crc32_u32(_mm_crc32_u8(~0u, 77), (unsigned)r[1]), __builtin_popcountll(r[0]));
  __m128i text = _mm_loadu_si128((const __m128i *)"a text, 16 bytes"), set = _mm_loadu_si128((const __m128i *)"aeiou\0 padding..");
  printf("pcmpistri %d pcmpestri %d\n", _mm_cmpistri(set, text, _SIDD_CMP_EQUAL_ANY),
         _mm_cmpestri(set, 5, text, 16, _SIDD_CMP_EQUAL_ANY | _SIDD_MOST_SIGNIFICANT));
  INTEGER("pcmpistrm", _mm_cmpistrm(set, text, _SIDD_CMP_EQUAL_ANY | _SIDD_UNIT_MASK));
}

int program(void)
{
  formats();
  sorting();
  memory();
  atomics();
  jumps();
  long_doubles();
  simulation();
  conversions();
  intrinsics();
  printf("done\n");
  return 0;
}

#ifdef HOSTED
int main(void)
{
  return program();
}
#endif
